//! What a person asks for: `golang.org/x/net`, `golang.org/x/net@<0.17.0`, `stdlib@>=1.20,<1.20.10`.

use super::version::{Order, semantic};
use super::{Advisory, Bound, Package, Relation, Versions};

/// Why a text asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// No module before the `@`.
    #[error("write MODULE, or MODULE@RANGE such as golang.org/x/net@<0.17.0 or stdlib@>=1.20,<1.20.10")]
    Shape,
    /// A part of the range is none.
    #[error(
        "{0:?} is not a version: write a range as <1.2.3, <=1.2.3, >1.2.3, >=1.2.3 or 1.2.3, several with commas"
    )]
    Version(String),
}

/// Reads it, as an advisory of that name.
pub fn parse(text: &str) -> Result<Advisory, WantedError> {
    let (module, range) = text.split_once('@').map_or((text, None), |(module, range)| (module, Some(range)));
    if module.is_empty() || module.contains(char::is_whitespace) {
        return Err(WantedError::Shape);
    }
    let versions = match range {
        None => Versions::All,
        Some(range) => {
            Versions::Within(range.split(',').map(|part| bound(module, part)).collect::<Result<_, _>>()?)
        }
    };
    let package = Package { module: module.to_owned(), versions };
    Ok(Advisory { id: text.to_owned(), aliases: Vec::new(), summary: String::new(), packages: vec![package] })
}

fn bound(module: &str, text: &str) -> Result<Bound, WantedError> {
    let text = text.trim();
    let signs = [
        ("<=", Relation::UpTo),
        (">=", Relation::From),
        ("<", Relation::Before),
        (">", Relation::After),
        ("=", Relation::Is),
    ];
    let sign = signs.into_iter().find_map(|(sign, relation)| Some((text.strip_prefix(sign)?, relation)));
    let (version, relation) = sign.unwrap_or((text, Relation::Is));
    let version = version.trim();
    let refuse = || WantedError::Version(version.to_owned());
    let version = Order::of(module).version(version).or_else(|| semantic(version)).ok_or_else(refuse)?;
    Ok(Bound { relation, version: version.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn includes(text: &str, version: &str) -> bool {
        parse(text).unwrap().packages[0].versions.include(&semantic(version).unwrap())
    }

    #[test]
    fn ranges_mean_what_they_say() {
        for (text, inside, outside) in [
            ("a@<0.17.0", "v0.16.0", "v0.17.0"),
            ("a@<v0.17", "v0.17.0-rc.1", "v0.17.0"),
            ("a@<=0.17.0", "v0.17.0", "v0.17.1"),
            ("a@>=1.20,<1.20.10", "v1.20.9", "v1.19.0"),
            ("a@>1.0.0", "v1.0.1", "v1.0.0"),
            ("a@v1.0.0", "v1.0.0+incompatible", "v1.0.1"),
            ("stdlib@<1.21rc3", "1.21.0-rc.2", "1.21.0"),
        ] {
            assert!(includes(text, inside), "{text} {inside}");
            assert!(!includes(text, outside), "{text} {outside}");
        }
        assert!(includes("a", "v9.9.9"));
    }

    #[test]
    fn what_is_none_says_how() {
        assert_eq!(parse("@<1"), Err(WantedError::Shape));
        assert_eq!(parse("a@").unwrap_err(), WantedError::Version(String::new()));
        assert_eq!(parse("a@<one").unwrap_err(), WantedError::Version("one".into()));
    }
}
