//! A policy from its TOML text.

use evenkeel_facts::Glob;
use serde::Deserialize;
use toml::Spanned;

use super::{Advice, AdviceTexts, Class, Policy, Rule, nearest};
use crate::compare::Compare;
use crate::report::Severity;

/// The largest policy text, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// The most globs in one policy.
const MAX_RULES: usize = 10_000;

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is too large to be one.
    #[error("the policy has {0} bytes; a policy has at most {MAX_BYTES}")]
    TooLarge(usize),
    /// Not TOML, or not of this shape: line, column and caret, and what was probably meant.
    #[error("{message}{}", hint.as_ref().map(|word| format!("did you mean `{word}`?\n")).unwrap_or_default())]
    Shape {
        /// What is wrong and where, in several lines, the last one ended.
        message: String,
        /// The known word that is nearest to the unknown one.
        hint: Option<String>,
    },
    /// A rule is of the right shape and makes no sense.
    #[error("rule at line {line}: {what}")]
    Rule {
        /// Where the rule begins, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The policy says that it extends one that is not known.
    #[error("extends = {0:?}: only \"default\" can be extended")]
    Extends(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: u32,
    extends: Option<String>,
    #[serde(default)]
    rule: Vec<Spanned<FileRule>>,
    #[serde(default)]
    advice: Vec<Spanned<FileAdvice>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    path: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
    class: Option<Class>,
    compare: Option<Compare>,
    severity: Option<Severity>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAdvice {
    path: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
    risk: String,
    remedy: String,
    #[serde(default)]
    file: String,
}

impl Policy {
    /// Reads a policy: `name`, `version`, `extends = "default"` if its rules stand behind those of the default
    /// policy, `[[rule]]` tables, and `[[advice]]` tables, which decide nothing.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_BYTES {
            return Err(PolicyError::TooLarge(text.len()));
        }
        let file: File = toml::from_str(text).map_err(|error| shape(&error))?;
        let (mut rules, mut advice) = match file.extends.as_deref() {
            None => Default::default(),
            Some("default") => {
                let Self { rules, advice, .. } = Self::default_policy();
                (rules, advice)
            }
            Some(other) => return Err(PolicyError::Extends(other.to_owned())),
        };
        for rule in file.rule {
            let line = text[..rule.span().start].matches('\n').count() + 1;
            let refuse = |what: &str| Err(PolicyError::Rule { line, what: what.to_owned() });
            let FileRule { path, paths, class, compare, severity, reason } = rule.into_inner();
            if path.is_some() != paths.is_empty() {
                return refuse("it needs a `path`, or several `paths`, and not both");
            }
            if reason.trim().is_empty() {
                return refuse("its `reason` is empty; every rule says why");
            }
            if class.is_none() && compare.is_none() && severity.is_none() {
                return refuse("it sets nothing: give it a `class`, a `compare` or a `severity`");
            }
            let set = |path: &String| Rule {
                path: Glob::new(path),
                class,
                compare,
                severity,
                reason: reason.clone(),
            };
            rules.extend(path.iter().chain(&paths).map(set));
            if rules.len() > MAX_RULES {
                return refuse("the policy has more than 10000 paths");
            }
        }
        for given in file.advice {
            let line = text[..given.span().start].matches('\n').count() + 1;
            let FileAdvice { path, paths, risk, remedy, file } = given.into_inner();
            if path.is_some() != paths.is_empty() {
                return Err(PolicyError::Rule {
                    line,
                    what: "it needs a `path`, or several `paths`, and not both".to_owned(),
                });
            }
            let paths = path.iter().chain(&paths).map(|path| Glob::new(path)).collect();
            advice.push(Advice { paths, texts: AdviceTexts { risk, remedy, file } });
        }
        Ok(Self::new(file.name, file.version, rules, advice))
    }
}

/// The error with a hint: serde says "unknown field `x`, expected one of `a`, `b`".
fn shape(error: &toml::de::Error) -> PolicyError {
    let text = error.message();
    let mut quoted = text.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(word) if text.starts_with("unknown ") => nearest(word, quoted).map(str::to_owned),
        _ => None,
    };
    PolicyError::Shape { message: error.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Policy::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest() {
        let text = "name = \"x\"\nversion = 1\n[[rule]]\npath = \"a\"\nsevrity = \"info\"\nreason = \"r\"\n";
        assert_eq!(
            error(text),
            "TOML parse error at line 5, column 1\n  |\n5 | sevrity = \"info\"\n  | ^^^^^^^\n\
             unknown field `sevrity`, expected one of `path`, `paths`, `class`, `compare`, `severity`, `reason`\n\
             did you mean `severity`?\n"
        );
    }

    #[test]
    fn an_unknown_word_names_the_nearest() {
        let text =
            "name = \"x\"\nversion = 1\n[[rule]]\npath = \"a\"\nclass = \"derived(mem)\"\nreason = \"r\"\n";
        assert!(error(text).ends_with("did you mean `derived(ram)`?\n"), "{}", error(text));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_with_their_line() {
        let head = "name = \"x\"\nversion = 1\n\n[[rule]]\n";
        for (rule, what) in [
            ("reason = \"r\"\nseverity = \"info\"\n", "it needs a `path`, or several `paths`, and not both"),
            (
                "path = \"a\"\nseverity = \"info\"\nreason = \" \"\n",
                "its `reason` is empty; every rule says why",
            ),
            (
                "path = \"a\"\nreason = \"r\"\n",
                "it sets nothing: give it a `class`, a `compare` or a `severity`",
            ),
        ] {
            assert_eq!(error(&format!("{head}{rule}")), format!("rule at line 4: {what}"));
        }
        assert_eq!(
            error("name = \"x\"\nversion = 1\nextends = \"mine\"\n"),
            "extends = \"mine\": only \"default\" can be extended"
        );
    }
}
