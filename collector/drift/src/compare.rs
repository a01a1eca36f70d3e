//! How two values of one fact compare: when they say the same, and which is older.

mod apk;
mod go;
mod natural;
mod package;

use std::borrow::Cow;
use std::cmp::Ordering;

use evenkeel_facts::Value;
use serde::{Deserialize, Serialize};

/// How the values of a fact compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// As text; runs of blanks are one blank.
    #[default]
    Text,
    /// Word by word, numbers as numbers; -1 is the same signed and unsigned.
    Integer,
    /// Hexadecimal masks (`00000000,000000ff`) by value, not by width.
    Mask,
    /// Words in any order.
    Set,
    /// Go's own versions.
    Go,
    /// Semantic versions as Go modules write them.
    Semver,
    /// The same for what was built: `(devel)` does not know its own version.
    Build,
    /// Versions of packages, in the order of their own manager.
    Package,
    /// Debian package versions.
    Dpkg,
    /// Versions of rpm packages.
    Rpm,
    /// Versions of Alpine's packages.
    Apk,
    /// Kernel releases.
    Kernel,
    /// Dotted numbers with letters.
    Numeric,
}

impl Compare {
    /// The form in which values that say the same are the same text; `None` when the value does not tell
    /// (`(devel)`: a build that does not know its own version).
    pub fn canonical(self, value: &Value) -> Option<Cow<'_, str>> {
        let text = match value {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        Some(match self {
            Self::Text | Self::Kernel | Self::Numeric | Self::Rpm | Self::Apk => match text {
                Cow::Borrowed(text) => one_blank(text),
                owned @ Cow::Owned(_) => owned,
            },
            Self::Integer => Cow::Owned(words(&text, integer)),
            Self::Mask => Cow::Owned(words(&text, mask)),
            Self::Set => {
                let mut words: Vec<&str> = text.split_whitespace().collect();
                words.sort_unstable();
                words.dedup();
                Cow::Owned(words.join(" "))
            }
            Self::Build if text.split(SEVERAL).any(|one| one == "(devel)") => return None,
            Self::Go => Cow::Owned(each(&text, go::canonical)),
            Self::Semver | Self::Build => {
                Cow::Owned(each(&text, |one| one.strip_prefix('v').unwrap_or(one).to_owned()))
            }
            Self::Package => Cow::Owned(package::canonical(&text)),
            Self::Dpkg => Cow::Owned(dpkg(&text)),
        })
    }

    /// Which of two versions in canonical form is older (`Less`). `None` when this comparison knows no order, or one
    /// of them is no version.
    pub fn order(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Text | Self::Integer | Self::Mask | Self::Set => None,
            Self::Go => go::order(a, b),
            Self::Semver | Self::Build => {
                let version = |text: &str| text.parse::<semver::Version>().ok();
                Some(version(a)?.cmp_precedence(&version(b)?))
            }
            Self::Dpkg => {
                let version = |text: &str| text.parse::<debversion::Version>().ok();
                Some(version(a)?.cmp(&version(b)?))
            }
            Self::Package => package::order(a, b),
            Self::Rpm => package::rpm(a, b),
            Self::Apk => apk::order(a, b),
            Self::Kernel | Self::Numeric => natural::order(a, b),
        }
    }
}

/// Without what says nothing: an epoch or a revision of nought.
fn dpkg(text: &str) -> String {
    text.parse::<debversion::Version>()
        .map_or_else(|_| text.to_owned(), |version| version.canonicalize().to_string())
}

/// Stands between the values of several builds of one program on one node.
const SEVERAL: &str = " | ";

/// The canonical form of one version, or of each of several.
fn each(text: &str, form: impl Fn(&str) -> String) -> String {
    let mut forms: Vec<String> = text.split(SEVERAL).map(form).collect();
    forms.sort_unstable();
    forms.join(SEVERAL)
}

/// Runs of blanks as one blank, none at the ends.
fn one_blank(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let blank = |b: u8| b.is_ascii_whitespace();
    let plain = |pair: &[u8]| !(blank(pair[0]) && (blank(pair[1]) || pair[0] != b' '));
    let ends = bytes.first().is_some_and(|b| blank(*b)) || bytes.last().is_some_and(|b| blank(*b));
    if !ends && bytes.windows(2).all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(words(text, str::to_owned))
    }
}

fn words(text: &str, form: impl Fn(&str) -> String) -> String {
    text.split_whitespace().map(form).collect::<Vec<_>>().join(" ")
}

/// A number without leading zeros or plus; what an unsigned type makes of -1 is -1.
fn integer(word: &str) -> String {
    match word.parse::<i128>() {
        Ok(number) if number == i128::from(u64::MAX) || number == i128::from(u32::MAX) => "-1".to_owned(),
        Ok(number) => number.to_string(),
        Err(_) => word.to_owned(),
    }
}

/// The digits of a mask, lower case, without separators and leading zeros.
fn mask(word: &str) -> String {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b',') {
        return word.to_owned();
    }
    let value: String = digits.chars().filter(|c| *c != ',').map(|c| c.to_ascii_lowercase()).collect();
    let value = value.trim_start_matches('0');
    if value.is_empty() { "0".to_owned() } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(compare: Compare, text: &str) -> Option<String> {
        compare.canonical(&text.into()).map(Cow::into_owned)
    }

    #[test]
    fn values_that_say_the_same_have_one_form() {
        for (compare, a, b) in [
            (Compare::Text, "4096\t131072  6291456", "4096 131072 6291456"),
            (Compare::Text, " a b\n", "a b"),
            (Compare::Integer, "010 -1", "10 18446744073709551615"),
            (Compare::Integer, "4294967295", "-1"),
            (Compare::Mask, "00000000,000000FF", "ff"),
            (Compare::Mask, "0x0", "00"),
            (Compare::Set, "reno cubic", "cubic reno"),
            (Compare::Go, "go1.21.6", "1.21.6"),
            (Compare::Go, "1.20", "1.20.0"),
            (Compare::Go, "1.20 | go1.21.6", "go1.20.0 | 1.21.6"),
            (Compare::Semver, "v1.2.3", "1.2.3"),
            (Compare::Build, "v1.2.3", "1.2.3"),
            (Compare::Dpkg, "0:1.0-1", "1.0-1"),
        ] {
            assert_eq!(form(compare, a), form(compare, b), "{compare:?} {a:?} {b:?}");
        }
        assert_eq!(Compare::Text.canonical(&Value::Integer(5)), Some("5".into()));
    }

    #[test]
    fn values_that_differ_have_two_forms() {
        for (compare, a, b) in [
            (Compare::Text, "a b", "b a"),
            (Compare::Integer, "10 1", "1 10"),
            (Compare::Integer, "core.%p", "core"),
            (Compare::Mask, "f0", "0f"),
            (Compare::Go, "1.21", "1.21.0"),
            (Compare::Go, "1.21.6", "1.21.6 X:boringcrypto"),
            (Compare::Semver, "v2.0.0+incompatible", "v2.0.0"),
        ] {
            assert_ne!(form(compare, a), form(compare, b), "{compare:?} {a:?} {b:?}");
        }
    }

    #[test]
    fn a_development_build_does_not_tell() {
        assert_eq!(form(Compare::Build, "(devel)"), None);
        assert_eq!(form(Compare::Build, "(devel) | v1.0.0"), None);
        assert_eq!(form(Compare::Semver, "(devel)"), Some("(devel)".into()));
        assert_eq!(form(Compare::Text, "(devel)"), Some("(devel)".into()));
    }

    #[test]
    fn versions_have_their_own_order() {
        for (compare, older, newer) in [
            (Compare::Go, "1.9.7", "1.20.14"),
            (Compare::Semver, "0.0.0-20240101000000-aaaaaaaaaaaa", "0.17.0"),
            (Compare::Semver, "1.9.0", "1.10.0"),
            (Compare::Dpkg, "2.36-9+deb12u10~rc1", "2.36-9+deb12u10"),
            (Compare::Dpkg, "3.0.9-1", "3.0.14-1"),
            (Compare::Kernel, "6.9.0-1-amd64", "6.18.44"),
            (Compare::Kernel, "6.1.0-9-amd64", "6.1.0-18-amd64"),
            (Compare::Numeric, "2.9", "2.36"),
            (Compare::Numeric, "2024a", "2024b"),
        ] {
            assert_eq!(compare.order(older, newer), Some(Ordering::Less), "{compare:?} {older} {newer}");
            assert_eq!(compare.order(newer, older), Some(Ordering::Greater), "{compare:?} {newer} {older}");
        }
        assert_eq!(Compare::Text.order("1", "2"), None);
        assert_eq!(Compare::Go.order("1.20.1 | 1.21.6", "1.21.0"), None);
        assert_eq!(Compare::Semver.order("x", "1.0.0"), None);
    }
}
