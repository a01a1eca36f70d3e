//! What can be held against what: `ENV`, `node/NAME`, `file:SNAPSHOT.json`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use evenkeel_runtime::label::is_label;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// An environment.
    Environment(String),
    /// A node, by name or UUID.
    Node(String),
    /// A snapshot file.
    File(PathBuf),
}

/// Why a text is not an operand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperandError {
    /// An earlier time is asked for.
    #[error("an earlier time (@{0}) cannot be asked for yet; without it, what is now is compared")]
    Time(String),
    /// A frozen reference is asked for.
    #[error("baselines cannot be asked for yet")]
    Baseline,
    /// The text has no such form.
    #[error("write an environment's name, node/NAME, or file:SNAPSHOT.json")]
    Shape,
}

impl FromStr for Operand {
    type Err = OperandError;

    fn from_str(text: &str) -> Result<Self, OperandError> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err(OperandError::Shape) } else { Ok(Self::File(path.into())) };
        }
        if let Some((_, time)) = text.split_once('@') {
            return Err(OperandError::Time(time.to_owned()));
        }
        match text.split_once('/') {
            Some(("node", name)) if is_label(name) => Ok(Self::Node(name.to_owned())),
            Some(("baseline", _)) => Err(OperandError::Baseline),
            None if is_label(text) => Ok(Self::Environment(text.to_owned())),
            _ => Err(OperandError::Shape),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => f.write_str(name),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms() {
        assert_eq!("prod".parse(), Ok(Operand::Environment("prod".into())));
        assert_eq!("node/web-1".parse(), Ok(Operand::Node("web-1".into())));
        assert_eq!("file:a@b/c.json".parse(), Ok(Operand::File("a@b/c.json".into())));
        for text in ["prod", "node/web-1", "file:a.json"] {
            assert_eq!(text.parse::<Operand>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_one_says_why() {
        assert_eq!("prod@yesterday".parse::<Operand>(), Err(OperandError::Time("yesterday".into())));
        assert_eq!("baseline/x".parse::<Operand>(), Err(OperandError::Baseline));
        for text in ["", "file:", "node/", "a/b", "Prod", "a b"] {
            assert_eq!(text.parse::<Operand>(), Err(OperandError::Shape), "{text:?}");
        }
    }
}
