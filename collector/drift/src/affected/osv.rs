//! Reports in the OSV format (<https://ossf.github.io/osv-schema/>), of the Go ecosystem.

use serde::Deserialize;

use super::version::semantic;
use super::{Advisory, Event, EventKind, Package, Versions};

/// The largest report read, in bytes. The largest of the Go vulnerability database has 200 KB.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
pub enum OsvError {
    /// Too large to be one.
    #[error("the report has {0} bytes; a report has at most {MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or not of this shape. The source has line and column.
    #[error("it is not a report in the OSV format")]
    Json(#[from] serde_json::Error),
    /// A version that no version can be held against.
    #[error("{id}: {version:?} of {module} is not a version")]
    Version {
        /// The report.
        id: String,
        /// The module.
        module: String,
        /// The text.
        version: String,
    },
}

#[derive(Deserialize)]
struct Report {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<ReportPackage>,
}

#[derive(Deserialize)]
struct ReportPackage {
    package: Option<Name>,
    #[serde(default)]
    ranges: Vec<ReportRange>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Name {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct ReportRange {
    r#type: String,
    #[serde(default)]
    events: Vec<ReportEvent>,
}

#[derive(Deserialize)]
struct ReportEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// Reads one report. `None`: it was withdrawn, or speaks of nothing in Go.
pub fn parse(json: &[u8]) -> Result<Option<Advisory>, OsvError> {
    if json.len() > MAX_BYTES {
        return Err(OsvError::TooLarge(json.len()));
    }
    let Report { id, aliases, summary, details, withdrawn, affected } = serde_json::from_slice(json)?;
    let mut packages = Vec::new();
    for ReportPackage { package, ranges, versions } in affected {
        let Some(Name { name: module, .. }) = package.filter(|package| package.ecosystem == "Go") else {
            continue;
        };
        let versions = extent(ranges, versions);
        check(&id, &module, &versions)?;
        packages.push(Package { module, versions });
    }
    if withdrawn.is_some() || packages.is_empty() {
        return Ok(None);
    }
    // Older reports have no summary.
    let summary =
        if summary.is_empty() { details.lines().next().unwrap_or_default().to_owned() } else { summary };
    Ok(Some(Advisory { id, aliases, summary, packages }))
}

/// A report that names neither a range nor a version speaks of all. Ranges of commits say nothing of versions.
fn extent(ranges: Vec<ReportRange>, exact: Vec<String>) -> Versions {
    if ranges.is_empty() && exact.is_empty() {
        return Versions::All;
    }
    let ranges = ranges.into_iter().filter(|range| range.r#type != "GIT");
    let ranges = ranges.map(|range| {
        let events = range.events.into_iter().flat_map(|event| {
            let ReportEvent { introduced, fixed, last_affected, limit } = event;
            let of = |kind, version: Option<String>| version.map(|version| Event { kind, version });
            [
                of(EventKind::Introduced, introduced),
                of(EventKind::Fixed, fixed),
                of(EventKind::LastAffected, last_affected),
                of(EventKind::Limit, limit),
            ]
        });
        events.flatten().collect()
    });
    Versions::Osv { ranges: ranges.collect(), exact }
}

fn check(id: &str, module: &str, versions: &Versions) -> Result<(), OsvError> {
    let Versions::Osv { ranges, exact } = versions else { return Ok(()) };
    let limits = |event: &&Event| !(event.kind == EventKind::Limit && event.version == "*");
    let named = ranges.iter().flatten().filter(limits).map(|event| &event.version).chain(exact);
    for version in named {
        if semantic(version).is_none() {
            return Err(OsvError::Version {
                id: id.to_owned(),
                module: module.to_owned(),
                version: version.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let json = br#"{"id": "GO-1", "aliases": ["CVE-1"], "details": "First.\nSecond.", "affected": [
            {"package": {"ecosystem": "Go", "name": "a.b/c"}, "versions": ["1.0.0"],
             "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.3"}]},
                        {"type": "GIT", "events": [{"introduced": "abc"}]}]},
            {"package": {"ecosystem": "npm", "name": "d"}, "ranges": []}]}"#;
        let advisory = parse(json).unwrap().unwrap();
        assert_eq!((advisory.summary.as_str(), advisory.packages.len()), ("First.", 1));
        let Versions::Osv { ranges, exact } = &advisory.packages[0].versions else { panic!("{advisory:?}") };
        assert_eq!((ranges.len(), ranges[0].len(), exact.len()), (1, 2, 1));
    }

    #[test]
    fn withdrawn_and_foreign_reports_affect_nothing() {
        let withdrawn = br#"{"id": "GO-2", "withdrawn": "2024-01-01T00:00:00Z", "affected": [
            {"package": {"ecosystem": "Go", "name": "a"}}]}"#;
        assert_eq!(parse(withdrawn).unwrap(), None);
        assert_eq!(parse(br#"{"id": "X", "affected": []}"#).unwrap(), None);
    }

    #[test]
    fn what_is_none_says_why() {
        let error = |json: &[u8]| parse(json).unwrap_err().to_string();
        assert_eq!(error(b"[]"), "it is not a report in the OSV format");
        let odd = br#"{"id": "GO-3", "affected": [{"package": {"ecosystem": "Go", "name": "a"}, "versions": ["one"]}]}"#;
        assert_eq!(error(odd), "GO-3: \"one\" of a is not a version");
    }
}
