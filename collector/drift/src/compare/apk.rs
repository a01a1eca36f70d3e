//! Versions of Alpine's packages: `DIGITS{.DIGITS}{LETTER}{_SUFFIX{DIGITS}}{~HASH}{-rDIGITS}`, as apk-package(5) of
//! apk-tools describes them.

use std::cmp::Ordering;

/// Suffixes that make a version older than without, oldest first, and behind them those that make it newer.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// Which is older. `None` when one of them is no version of apk.
pub(super) fn order(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parts(a)?, parts(b)?);
    for place in 0.. {
        let order = match (a.get(place), b.get(place)) {
            (None, None) => return Some(Ordering::Equal),
            (Some(own), Some(other)) => own.order(other),
            (Some(own), None) => own.against_nothing(),
            (None, Some(other)) => other.against_nothing().reverse(),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    None
}

#[derive(Debug)]
enum Part<'a> {
    /// The first number.
    Major(&'a str),
    /// A number behind a dot: with a leading zero it is a fraction.
    Minor(&'a str),
    Letter(char),
    /// The place of the suffix among all, negative when it makes the version older, and its number.
    Suffix(i8, &'a str),
    Hash(&'a str),
    Revision(&'a str),
}

impl Part<'_> {
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Minor(a), Self::Minor(b)) if !(a.starts_with('0') || b.starts_with('0')) => numbers(a, b),
            (Self::Minor(a), Self::Minor(b)) | (Self::Hash(a), Self::Hash(b)) => a.cmp(b),
            (Self::Major(a), Self::Major(b)) | (Self::Revision(a), Self::Revision(b)) => numbers(a, b),
            (Self::Letter(a), Self::Letter(b)) => a.cmp(b),
            (Self::Suffix(a, n), Self::Suffix(b, m)) => a.cmp(b).then_with(|| numbers(n, m)),
            // A suffix such as _rc1 is older than anything that may stand in its place, even nothing.
            (Self::Suffix(..0, _), _) => Ordering::Less,
            (_, Self::Suffix(..0, _)) => Ordering::Greater,
            _ => other.rank().cmp(&self.rank()),
        }
    }

    fn against_nothing(&self) -> Ordering {
        match self {
            Self::Suffix(..0, _) => Ordering::Less,
            // No revision is -r0.
            Self::Revision(number) => numbers(number, "0"),
            _ => Ordering::Greater,
        }
    }

    /// Of two different parts in one place the one that could stand earlier is newer.
    fn rank(&self) -> u8 {
        match self {
            Self::Major(_) => 0,
            Self::Minor(_) => 1,
            Self::Letter(_) => 2,
            Self::Suffix(..) => 3,
            Self::Hash(_) => 4,
            Self::Revision(_) => 5,
        }
    }
}

fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    let (major, mut rest) = digits(text);
    let mut parts = vec![Part::Major(major)];
    while let Some(behind) = rest.strip_prefix('.') {
        let (minor, behind) = digits(behind);
        parts.push(Part::Minor(minor));
        rest = behind;
    }
    if let Some(letter) = rest.chars().next().filter(char::is_ascii_lowercase) {
        parts.push(Part::Letter(letter));
        rest = &rest[1..];
    }
    while let Some(behind) = rest.strip_prefix('_') {
        let end = behind.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(behind.len());
        let (word, behind) = behind.split_at(end);
        let place = |words: &[&str]| words.iter().position(|known| *known == word);
        let before = place(&BEFORE).and_then(|at| i8::try_from(at).ok()).map(|at| at - 4);
        let after = || place(&AFTER).and_then(|at| i8::try_from(at).ok());
        let (number, behind) = digits(behind);
        parts.push(Part::Suffix(before.or_else(after)?, number));
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix('~') {
        let end = behind.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(behind.len());
        parts.push(Part::Hash(&behind[..end]));
        rest = &behind[end..];
    }
    if let Some(behind) = rest.strip_prefix("-r") {
        let (number, behind) = digits(behind);
        parts.push(Part::Revision(number));
        rest = behind;
    }
    let is_number = |part: &Part<'_>| match part {
        Part::Major(number) | Part::Minor(number) | Part::Revision(number) => !number.is_empty(),
        Part::Letter(_) | Part::Suffix(..) | Part::Hash(_) => true,
    };
    (rest.is_empty() && parts.iter().all(is_number)).then_some(parts)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Of any size.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_their_order() {
        let rising = [
            "0.9-r3",
            "1.0_alpha1-r0",
            "1.0_alpha2-r9",
            "1.0_beta1",
            "1.0_pre3",
            "1.0_rc1-r1",
            "1.0-r0",
            "1.0-r2",
            "1.0-r10",
            "1.0_git20240101-r0",
            "1.0_p1-r0",
            "1.0_p10-r0",
            "1.0a-r0",
            "1.0b-r0",
            "1.0.1-r0",
            "1.0.05-r0",
            "1.0.5-r0",
            "1.0.10-r0",
            "1.9-r0",
            "1.10-r0",
            "2-r0",
            "20240101-r0",
            "99999999999999999999999-r0",
        ];
        // A leading zero makes a fraction, which is compared as text: .05 lies below .1.
        let mut rising = rising.to_vec();
        rising.swap(14, 15);
        for (place, older) in rising.iter().enumerate() {
            assert_eq!(order(older, older), Some(Ordering::Equal));
            for newer in &rising[place + 1..] {
                assert_eq!(order(older, newer), Some(Ordering::Less), "{older} {newer}");
                assert_eq!(order(newer, older), Some(Ordering::Greater), "{newer} {older}");
            }
        }
    }

    #[test]
    fn what_is_no_version_has_no_order() {
        for text in ["", "x", "1.", "1.0_x1", "1.0-1", "1.0-r", "1.0 | 1.1", "1.0-r1.fc40"] {
            assert_eq!(order(text, "1.0-r0"), None, "{text}");
        }
        assert_eq!(order("1.0", "1.0-r0"), Some(Ordering::Equal));
    }
}
