//! What a kernel sets where nobody does: `policy/kernel_defaults.toml`, by release.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The release of a kernel, as far as defaults follow it: `(6, 18)`.
pub type Release = (u32, u32);

const TEXT: &str = include_str!("../policy/kernel_defaults.toml");

static TABLE: LazyLock<HashMap<String, Default>> = LazyLock::new(|| {
    let file: File = toml::from_str(TEXT).unwrap_or_else(|error| panic!("kernel_defaults.toml: {error}"));
    file.default.into_iter().map(|default| (default.key.clone(), default)).collect()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Vec<Default>,
}

/// The defaults of one kernel parameter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Default {
    key: String,
    /// Where the kernel says so.
    pub source: String,
    values: Vec<Held>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    value: String,
    from: Option<String>,
    until: Option<String>,
}

/// The defaults of the parameter at this path (`sysctl.KEY`); `None` where they did not change, or are not known.
pub fn of(path: &str) -> Option<&'static Default> {
    TABLE.get(path.strip_prefix("sysctl.")?)
}

impl Default {
    /// Whether a kernel of this release sets the value by itself.
    pub fn holds(&self, value: &str, release: Release) -> bool {
        let bound = |text: &Option<String>| text.as_deref().and_then(self::release);
        self.values.iter().any(|own| {
            own.value == value
                && bound(&own.from).is_none_or(|from| release >= from)
                && bound(&own.until).is_none_or(|until| release < until)
        })
    }
}

/// The first two numbers of `6.18.44-1-amd64`.
pub fn release(text: &str) -> Option<Release> {
    let mut numbers = text.split(['.', '-', '+', '_', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_default() {
        let somaxconn = of("sysctl.net.core.somaxconn").unwrap();
        assert!(somaxconn.holds("128", (4, 19)) && somaxconn.holds("4096", (5, 4)));
        assert!(!somaxconn.holds("128", (5, 10)) && !somaxconn.holds("4096", (4, 19)));
        assert!(of("sysctl.net.core.nothing").is_none() && of("kernel.release").is_none());
    }

    #[test]
    fn releases_are_two_numbers() {
        assert_eq!(release("6.18.44-1-amd64"), Some((6, 18)));
        assert_eq!(release("5.4-rc3"), Some((5, 4)));
        assert_eq!(release("six"), None);
    }

    /// Promise: every bound of the table is a release, and every key has a source.
    #[test]
    fn the_table_is_whole() {
        for default in TABLE.values() {
            assert!(!default.source.is_empty(), "{}", default.key);
            for text in default.values.iter().flat_map(|value| [&value.from, &value.until]).flatten() {
                assert!(release(text).is_some(), "{} has {text:?}", default.key);
            }
        }
    }
}
