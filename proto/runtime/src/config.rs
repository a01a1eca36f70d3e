//! Reading a TOML file, with errors that say where, and what was probably meant.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::files::{self, FileError};

/// Reads a configuration file. The type should `deny_unknown_fields`: then an unknown key is named with its line and
/// the nearest key that there is.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let bytes = files::read(path)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| FileError::content(path, "it is not UTF-8".to_owned()))?;
    parse(text).map_err(|why| FileError::content(path, why))
}

/// Reads a configuration text. The error has line, column and a caret.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let shown = error.to_string();
        match nearest(error.message()) {
            Some(nearest) => format!("{}\ndid you mean `{nearest}`?", shown.trim_end()),
            None => shown.trim_end().to_owned(),
        }
    })
}

/// Of serde's "unknown field `a`, expected one of `b`, `c`", the expected name nearest to the unknown one.
fn nearest(message: &str) -> Option<&str> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once('`')?;
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|candidate| (distance(unknown, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 2 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[allow(dead_code)]
        interval: Option<String>,
        #[allow(dead_code)]
        collector: Option<String>,
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        let error = parse::<Example>("collector = \"a\"\nintervall = \"60s\"\n").unwrap_err();
        assert_eq!(
            error,
            "TOML parse error at line 2, column 1\n  |\n2 | intervall = \"60s\"\n  | ^^^^^^^^^\nunknown field `intervall`, expected \
             `interval` or `collector`\ndid you mean `interval`?"
        );
    }

    #[test]
    fn nothing_near_is_not_guessed() {
        assert_eq!(nearest("unknown field `zebra`, expected one of `interval`, `collector`"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
