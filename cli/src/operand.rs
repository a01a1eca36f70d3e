//! What can be held against what: `ENV`, `node/NAME`, both with `@TIME` for what they were, `baseline/NAME`,
//! `file:SNAPSHOT.json`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use evenkeel_runtime::label::is_label;
use jiff::Timestamp;

use crate::moment;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// An environment, now or at a moment.
    Environment(String, Option<Timestamp>),
    /// A node, by name or UUID, now or at a moment.
    Node(String, Option<Timestamp>),
    /// What was kept under a name.
    Baseline(String),
    /// A snapshot file.
    File(PathBuf),
}

/// Why a text is not an operand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperandError {
    /// What stands behind `@` is no time.
    #[error("{0}")]
    Time(String),
    /// The text has no such form.
    #[error(
        "write an environment's name or node/NAME (with @TIME for what it was), baseline/NAME, or file:SNAPSHOT.json"
    )]
    Shape,
}

impl FromStr for Operand {
    type Err = OperandError;

    fn from_str(text: &str) -> Result<Self, OperandError> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err(OperandError::Shape) } else { Ok(Self::File(path.into())) };
        }
        let (what, at) = match text.split_once('@') {
            None => (text, None),
            Some((what, time)) => {
                (what, Some(moment::parse(time, Timestamp::now()).map_err(OperandError::Time)?))
            }
        };
        match (what.split_once('/'), at) {
            (Some(("node", name)), at) if is_label(name) => Ok(Self::Node(name.to_owned(), at)),
            (Some(("baseline", name)), None) if is_label(name) => Ok(Self::Baseline(name.to_owned())),
            (None, at) if is_label(what) => Ok(Self::Environment(what.to_owned(), at)),
            _ => Err(OperandError::Shape),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self {
            Self::Environment(name, at) => {
                f.write_str(name)?;
                at
            }
            Self::Node(name, at) => {
                write!(f, "node/{name}")?;
                at
            }
            Self::Baseline(name) => return write!(f, "baseline/{name}"),
            Self::File(path) => return write!(f, "file:{}", path.display()),
        };
        at.map_or(Ok(()), |at| write!(f, "@{at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms() {
        let at = || "2026-11-20T03:12:00Z".parse().ok();
        assert_eq!("prod".parse(), Ok(Operand::Environment("prod".into(), None)));
        assert_eq!("node/web-1".parse(), Ok(Operand::Node("web-1".into(), None)));
        assert_eq!("prod@2026-11-20T03:12:00Z".parse(), Ok(Operand::Environment("prod".into(), at())));
        assert_eq!("node/web-1@2026-11-20T03:12:00Z".parse(), Ok(Operand::Node("web-1".into(), at())));
        assert_eq!("baseline/launch".parse(), Ok(Operand::Baseline("launch".into())));
        assert_eq!("file:a@b/c.json".parse(), Ok(Operand::File("a@b/c.json".into())));
        for text in ["prod", "node/web-1", "file:a.json", "baseline/x", "prod@2026-11-20T03:12:00Z"] {
            assert_eq!(text.parse::<Operand>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_one_says_why() {
        let time = "\"soon\" is not a time: write 2h, 7d, 2026-11-20 or 2026-11-20T03:12:00Z";
        assert_eq!("prod@soon".parse::<Operand>(), Err(OperandError::Time(time.into())));
        for text in ["", "file:", "node/", "a/b", "Prod", "a b", "baseline/x@2026-11-20"] {
            assert_eq!(text.parse::<Operand>(), Err(OperandError::Shape), "{text:?}");
        }
    }
}
