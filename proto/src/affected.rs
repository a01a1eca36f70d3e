//! Advisories as they travel.

use evenkeel_drift::affected as words;

use crate::Malformed;
use crate::report as wire;
use crate::report::version_bound::Relation;
use crate::report::version_event::Event as Choice;

/// An advisory on the wire.
pub fn to_wire(advisory: words::Advisory) -> wire::Advisory {
    let words::Advisory { id, aliases, summary, packages } = advisory;
    wire::Advisory { id, aliases, summary, packages: packages.into_iter().map(package_to_wire).collect() }
}

fn package_to_wire(package: words::Package) -> wire::AdvisedPackage {
    let words::Package { module, versions } = package;
    let mut package = wire::AdvisedPackage { module, ..wire::AdvisedPackage::default() };
    match versions {
        words::Versions::All => {}
        words::Versions::Osv { ranges, exact } => {
            let range = |events: Vec<words::Event>| wire::VersionRange {
                events: events.into_iter().map(event_to_wire).collect(),
            };
            package.ranges = ranges.into_iter().map(range).collect();
            package.versions = exact;
        }
        words::Versions::Within(bounds) => {
            package.bounds = bounds.into_iter().map(bound_to_wire).collect();
        }
    }
    package
}

fn event_to_wire(event: words::Event) -> wire::VersionEvent {
    let words::Event { kind, version } = event;
    wire::VersionEvent {
        event: Some(match kind {
            words::EventKind::Introduced => Choice::Introduced(version),
            words::EventKind::Fixed => Choice::Fixed(version),
            words::EventKind::LastAffected => Choice::LastAffected(version),
            words::EventKind::Limit => Choice::Limit(version),
        }),
    }
}

fn bound_to_wire(bound: words::Bound) -> wire::VersionBound {
    let words::Bound { relation, version } = bound;
    let relation = match relation {
        words::Relation::Before => Relation::Before,
        words::Relation::UpTo => Relation::UpTo,
        words::Relation::Is => Relation::Is,
        words::Relation::From => Relation::From,
        words::Relation::After => Relation::After,
    };
    wire::VersionBound { relation: relation.into(), version }
}

/// An advisory from the wire.
pub fn from_wire(advisory: wire::Advisory) -> Result<words::Advisory, Malformed> {
    let wire::Advisory { id, aliases, summary, packages } = advisory;
    let packages = packages.into_iter().map(package_from_wire).collect::<Result<_, _>>()?;
    Ok(words::Advisory { id, aliases, summary, packages })
}

fn package_from_wire(package: wire::AdvisedPackage) -> Result<words::Package, Malformed> {
    let wire::AdvisedPackage { module, ranges, versions: exact, bounds } = package;
    let versions = if !bounds.is_empty() {
        words::Versions::Within(bounds.into_iter().map(bound_from_wire).collect::<Result<_, _>>()?)
    } else if ranges.is_empty() && exact.is_empty() {
        words::Versions::All
    } else {
        let events = |range: wire::VersionRange| range.events.into_iter().map(event_from_wire).collect();
        words::Versions::Osv { ranges: ranges.into_iter().map(events).collect::<Result<_, _>>()?, exact }
    };
    Ok(words::Package { module, versions })
}

fn event_from_wire(event: wire::VersionEvent) -> Result<words::Event, Malformed> {
    let (kind, version) = match event.event {
        Some(Choice::Introduced(version)) => (words::EventKind::Introduced, version),
        Some(Choice::Fixed(version)) => (words::EventKind::Fixed, version),
        Some(Choice::LastAffected(version)) => (words::EventKind::LastAffected, version),
        Some(Choice::Limit(version)) => (words::EventKind::Limit, version),
        None => return Err(Malformed::new("event", "not said, or not known to this version")),
    };
    Ok(words::Event { kind, version })
}

fn bound_from_wire(bound: wire::VersionBound) -> Result<words::Bound, Malformed> {
    let wire::VersionBound { relation, version } = bound;
    let relation = match Relation::try_from(relation) {
        Ok(Relation::Before) => words::Relation::Before,
        Ok(Relation::UpTo) => words::Relation::UpTo,
        Ok(Relation::Is) => words::Relation::Is,
        Ok(Relation::From) => words::Relation::From,
        Ok(Relation::After) => words::Relation::After,
        _ => return Err(Malformed::new("relation", "not said, or not known to this version")),
    };
    Ok(words::Bound { relation, version })
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::affected::{osv, wanted};

    use super::*;

    #[test]
    fn an_advisory_comes_as_it_went() {
        let json = br#"{"id": "GO-1", "aliases": ["CVE-1"], "summary": "s", "affected": [
            {"package": {"ecosystem": "Go", "name": "a"}, "versions": ["1.0.0"],
             "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.3"}, {"last_affected": "2.0.0"}, {"limit": "3.0.0"}]}]},
            {"package": {"ecosystem": "Go", "name": "b"}}]}"#;
        let asked = ["a@<1.0.0,<=2.0.0,>=0.1.0,>0.0.1,=1.0.0", "a"].map(|text| wanted::parse(text).unwrap());
        for advisory in asked.into_iter().chain(osv::parse(json).unwrap()) {
            assert_eq!(from_wire(to_wire(advisory.clone())), Ok(advisory));
        }
    }
}
