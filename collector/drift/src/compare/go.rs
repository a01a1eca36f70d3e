//! Go's versions: `1.21.6`, `1.21rc2`, `go1.22.1 X:boringcrypto`, `devel go1.23-0abc`.
//!
//! Since Go 1.21 `1.21` names the language and `1.21.0` its first release; before, `1.20` is the release itself
//! (the rules of Go's own package `go/version`).

use std::cmp::Ordering;

/// Without `go` in front, experiments and vendor marks in order behind it.
pub(super) fn canonical(text: &str) -> String {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let mut version = first.strip_prefix("go").unwrap_or(first).to_owned();
    if Version::parse(&version).is_some_and(|parsed| parsed.is_release_without_patch(&version)) {
        version.push_str(".0");
    }
    let mut marks: Vec<&str> = words.collect();
    marks.sort_unstable();
    for mark in marks {
        version.push(' ');
        version.push_str(mark);
    }
    version
}

/// By number; the language version before its candidates, candidates before the release. Marks do not count.
pub(super) fn order(a: &str, b: &str) -> Option<Ordering> {
    Some(Version::parse(a)?.cmp(&Version::parse(b)?))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    stage: Stage,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Language,
    Beta(u32),
    Candidate(u32),
    Release(u32),
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        // Several builds of one program have no one version.
        if text.contains('|') {
            return None;
        }
        // Vendors add marks: `1.20.5-amzn`, `1.21.6+auto`.
        let text = text.split([' ', '-', '+']).next()?;
        let (major, rest) = text.split_once('.').unwrap_or((text, "0"));
        let major = major.parse().ok()?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let minor: u32 = rest[..digits].parse().ok()?;
        let stage = match &rest[digits..] {
            "" if (major, minor) < (1, 21) => Stage::Release(0),
            "" => Stage::Language,
            tail => {
                if let Some(number) = tail.strip_prefix("beta") {
                    Stage::Beta(number.parse().ok()?)
                } else if let Some(number) = tail.strip_prefix("rc") {
                    Stage::Candidate(number.parse().ok()?)
                } else {
                    Stage::Release(tail.strip_prefix('.')?.parse().ok()?)
                }
            }
        };
        Some(Self { major, minor, stage })
    }

    /// `1.20`, which is 1.20.0.
    fn is_release_without_patch(&self, text: &str) -> bool {
        self.stage == Stage::Release(0)
            && text.bytes().filter(|b| *b == b'.').count() == 1
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_go_itself() {
        let ascending = [
            "1.4",
            "1.9.7",
            "1.20rc1",
            "1.20",
            "1.20.14",
            "1.21",
            "1.21beta1",
            "1.21rc2",
            "1.21rc10",
            "1.21.0",
            "1.21.6",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(order(pair[0], pair[1]), Some(Ordering::Less), "{pair:?}");
        }
        assert_eq!(order("1.21.6 X:boringcrypto", "1.21.6"), Some(Ordering::Equal));
        assert_eq!(order("1.20.5-amzn", "1.20.6"), Some(Ordering::Less));
    }

    #[test]
    fn what_is_no_release_has_no_order() {
        assert_eq!(order("devel", "1.21.0"), None);
        assert_eq!(order("", "1.21.0"), None);
        assert_eq!(canonical("devel go1.22-abc"), "devel go1.22-abc");
    }
}
