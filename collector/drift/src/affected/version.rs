//! How versions of modules, and of Go itself, compare: both as semantic versions, in the order of Go's own tools.

use std::cmp::Ordering;

use semver::{Prerelease, Version};

use super::{Bound, Event, EventKind, Relation, Versions};

/// How the versions of a module compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Semantic versions, pseudo-versions and `+incompatible` ones included.
    Module,
    /// Go's own: `1.21rc2` is 1.21.0-rc.2, `1.20` is 1.20.0.
    Go,
}

impl Order {
    /// Of this module.
    pub fn of(module: &str) -> Self {
        if matches!(module, "stdlib" | "toolchain") { Self::Go } else { Self::Module }
    }

    /// The version that a person or a machine names; `None` when it is none: `(devel)`, a development build of Go.
    pub(super) fn version(self, text: &str) -> Option<Version> {
        match self {
            Self::Module => semantic(text),
            Self::Go => go(text),
        }
    }
}

/// A semantic version, with or without `v`; `1.2` is 1.2.0.
pub(super) fn semantic(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let zeros = match core.split('.').count() {
        1 if rest.is_empty() => ".0.0",
        2 if rest.is_empty() => ".0",
        _ => "",
    };
    format!("{core}{zeros}{rest}").parse().ok()
}

/// A Go release: `1.20.14`, `1.21rc2`, `1.4`; marks of vendors and experiments behind it do not count.
fn go(text: &str) -> Option<Version> {
    let text = text.split_whitespace().next()?;
    let text = text.strip_prefix("go").unwrap_or(text);
    let text = text.split(['-', '+']).next()?;
    let mut parts = text.splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next().unwrap_or("0");
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    let stage = &minor[digits..];
    let minor = minor[..digits].parse().ok()?;
    let patch = match parts.next() {
        Some(patch) if stage.is_empty() => patch.parse().ok()?,
        Some(_) => return None,
        // Since then every release has a third number: 1.25 alone is a language, or a build from between releases.
        None if stage.is_empty() && (major, minor) >= (1, 21) => return None,
        None => 0,
    };
    let mut version = Version::new(major, minor, patch);
    if !stage.is_empty() {
        let number = stage.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let word = &stage[..stage.len() - number.len()];
        if !matches!(word, "beta" | "rc") || number.parse::<u32>().is_err() {
            return None;
        }
        version.pre = Prerelease::new(&format!("{word}.{number}")).ok()?;
    }
    Some(version)
}

impl Versions {
    /// Whether it is all versions, whatever they are called.
    pub(super) fn is_all(&self) -> bool {
        let from_the_first = |event: &Event| event.kind == EventKind::Introduced && event.version == "0";
        match self {
            Self::All => true,
            Self::Osv { ranges, exact: _ } => {
                ranges.iter().any(|events| matches!(&events[..], [only] if from_the_first(only)))
            }
            Self::Within(_) => false,
        }
    }

    /// Whether this version is one of them.
    pub(super) fn include(&self, version: &Version) -> bool {
        match self {
            Self::All => true,
            Self::Osv { ranges, exact } => {
                ranges.iter().any(|events| is_in_range(events, version))
                    || exact.iter().any(|text| is(text, version, Ordering::is_eq))
            }
            Self::Within(bounds) => bounds.iter().all(|bound| bound.holds(version)),
        }
    }

    /// The first version behind this one that is not affected, as far as that is said.
    pub(super) fn fixed_after(&self, version: &Version) -> Option<String> {
        let Self::Osv { ranges, .. } = self else { return None };
        let events = ranges.iter().filter(|events| is_in_range(events, version)).flatten();
        let fixed = events.filter(|event| event.kind == EventKind::Fixed);
        let behind = fixed.filter_map(|event| Some((semantic(&event.version)?, &event.version)));
        let behind = behind.filter(|(fixed, _)| fixed.cmp_precedence(version).is_gt());
        behind.min_by(|a, b| a.0.cmp_precedence(&b.0)).map(|(_, text)| text.clone())
    }
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        let fits = match self.relation {
            Relation::Before => Ordering::is_lt,
            Relation::UpTo => Ordering::is_le,
            Relation::Is => Ordering::is_eq,
            Relation::From => Ordering::is_ge,
            Relation::After => Ordering::is_gt,
        };
        is(&self.version, version, fits)
    }
}

/// Whether the version compares so with what the text names.
fn is(text: &str, version: &Version, fits: impl Fn(Ordering) -> bool) -> bool {
    semantic(text).is_some_and(|named| fits(version.cmp_precedence(&named)))
}

/// The evaluation of the OSV schema: events in order of version, each changes what holds from there on.
fn is_in_range(events: &[Event], version: &Version) -> bool {
    // `None` is before all.
    let at = |event: &Event| if event.version == "0" { None } else { semantic(&event.version) };
    let compared =
        |event: &Event| at(event).map_or(Ordering::Greater, |named| version.cmp_precedence(&named));
    let mut limits = events.iter().filter(|event| event.kind == EventKind::Limit).peekable();
    if limits.peek().is_some() && !limits.any(|limit| limit.version == "*" || compared(limit).is_lt()) {
        return false;
    }
    let mut ordered: Vec<&Event> = events.iter().filter(|event| event.kind != EventKind::Limit).collect();
    ordered.sort_by(|a, b| match (at(a), at(b)) {
        (Some(a), Some(b)) => a.cmp_precedence(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let mut affected = false;
    for event in ordered {
        match event.kind {
            EventKind::Introduced if compared(event).is_ge() => affected = true,
            EventKind::Fixed if compared(event).is_ge() => affected = false,
            EventKind::LastAffected if compared(event).is_gt() => affected = false,
            _ => {}
        }
    }
    affected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_releases_are_semantic_versions() {
        for (text, version) in [
            ("1.20.14", "1.20.14"),
            ("go1.20", "1.20.0"),
            ("1.21rc2", "1.21.0-rc.2"),
            ("1.10beta1", "1.10.0-beta.1"),
            ("1.21.6 X:boringcrypto", "1.21.6"),
            ("1.20.5-amzn", "1.20.5"),
            ("1", "1.0.0"),
        ] {
            assert_eq!(go(text), Some(version.parse().unwrap()), "{text}");
        }
        for text in [
            "1.25-20250209-RC00 cl/724970549",
            "devel go1.23-0abc",
            "(devel)",
            "",
            "1.x",
            "1.21rc",
            "1.21rc2.1",
        ] {
            assert_eq!(go(text), None, "{text}");
        }
    }

    #[test]
    fn pseudo_versions_stand_where_go_puts_them() {
        let ascending = [
            "v0.0.0-20190101000000-abcdefabcdef",
            "v0.0.0-20200101000000-000000000000",
            "v0.16.0",
            "v0.17.0-0.20231016150651-428517fef5b9",
            "v0.17.0-rc.1",
            "v0.17.0",
            "v10.0.0+incompatible",
        ];
        for pair in ascending.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|text| semantic(text).unwrap());
            assert!(a.cmp_precedence(&b).is_lt(), "{pair:?}");
        }
        assert_eq!(semantic("(devel)"), None);
        assert_eq!(semantic(""), None);
    }

    #[test]
    fn events_change_what_holds_from_there_on() {
        use EventKind::{Fixed, Introduced, LastAffected, Limit};
        let event = |kind, version: &str| Event { kind, version: version.into() };
        let range = vec![
            event(Introduced, "1.21.0-0"),
            event(Fixed, "1.21.3"),
            event(Introduced, "0"),
            event(Fixed, "1.20.10"),
        ];
        let versions = Versions::Osv { ranges: vec![range], exact: vec!["1.30.0".into()] };
        for (text, affected, fixed) in [
            ("1.19.13", true, Some("1.20.10")),
            ("1.20.10", false, None),
            ("1.20.14", false, None),
            ("1.21rc2", true, Some("1.21.3")),
            ("1.21.2", true, Some("1.21.3")),
            ("1.21.3", false, None),
            ("1.30.0", true, None),
        ] {
            let version = go(text).unwrap();
            assert_eq!(versions.include(&version), affected, "{text}");
            assert_eq!(versions.fixed_after(&version).as_deref(), fixed, "{text}");
        }
        let last = Versions::Osv {
            ranges: vec![vec![event(Introduced, "1.0.0"), event(LastAffected, "1.2.0")]],
            exact: vec![],
        };
        let limit = Versions::Osv {
            ranges: vec![vec![event(Introduced, "0"), event(Limit, "1.2.0")]],
            exact: vec![],
        };
        for (text, in_last, in_limit) in
            [("0.9.0", false, true), ("1.2.0", true, false), ("1.2.1", false, false)]
        {
            let version = semantic(text).unwrap();
            assert_eq!((last.include(&version), limit.include(&version)), (in_last, in_limit), "{text}");
        }
    }
}
