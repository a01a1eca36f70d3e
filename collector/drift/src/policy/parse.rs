//! A policy from its TOML text.

use std::collections::BTreeMap;

use evenkeel_facts::Glob;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserialize;
use toml::Spanned;

use super::{Advice, AdviceTexts, Class, Expectation, Expected, Holders, Policy, Rule, nearest};
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
    #[error("line {line}, column {column}: {what}")]
    Rule {
        /// Where it stands, from 1.
        line: usize,
        /// Where in the line, in characters from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It has more rules than one can read.
    #[error("the policy has more than {MAX_RULES} paths")]
    TooMany,
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
    /// Expectations in one line each: path and value.
    #[serde(default)]
    expect: BTreeMap<String, Spanned<FileExpectation>>,
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
    ignore: Option<bool>,
    hide: Option<bool>,
    expect: Option<Spanned<FileExpectation>>,
    #[serde(default)]
    or_absent: bool,
    promote_within: Option<Spanned<String>>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    nodes: Vec<String>,
    reason: String,
}

/// A value, or one of several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an expectation is a text, a number, true or false, or a list of them")]
enum FileExpectation {
    One(Scalar),
    Several(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Truth(bool),
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
    /// policy, `[[rule]]` tables, one table `[expect]`, and `[[advice]]` tables, which decide nothing.
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
        let place = Places(text);
        for (path, expected) in file.expect {
            let value = place.expectation(&expected)?;
            rules.push(Rule {
                expect: Some(Expected { value, or_absent: path.contains(['*', '?']) }),
                reason: "The policy expects this value.".to_owned(),
                ..Rule::of(Glob::new(&path))
            });
        }
        for rule in file.rule {
            rules.extend(place.rules(rule)?);
            if rules.len() > MAX_RULES {
                return Err(PolicyError::TooMany);
            }
        }
        for given in file.advice {
            let at = given.span().start;
            let FileAdvice { path, paths, risk, remedy, file } = given.into_inner();
            if path.is_some() != paths.is_empty() {
                return Err(place.refuse(at, PATHS));
            }
            let paths = path.iter().chain(&paths).map(|path| Glob::new(path)).collect();
            advice.push(Advice { paths, texts: AdviceTexts { risk, remedy, file } });
        }
        Ok(Self::new(file.name, file.version, rules, advice))
    }
}

const PATHS: &str = "it needs a `path`, or several `paths`, and not both";

/// The text that a policy is read from, to say where something stands.
struct Places<'t>(&'t str);

impl Places<'_> {
    fn refuse(&self, at: usize, what: impl Into<String>) -> PolicyError {
        let before = &self.0[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        PolicyError::Rule { line, column, what: what.into() }
    }

    /// One rule for each of its paths.
    fn rules(&self, rule: Spanned<FileRule>) -> Result<Vec<Rule>, PolicyError> {
        let at = rule.span().start;
        let FileRule {
            path,
            paths,
            class,
            compare,
            severity,
            ignore,
            hide,
            expect,
            or_absent,
            promote_within,
            environments,
            roles,
            nodes,
            reason,
        } = rule.into_inner();
        if path.is_some() != paths.is_empty() {
            return Err(self.refuse(at, PATHS));
        }
        if reason.trim().is_empty() {
            return Err(self.refuse(at, "its `reason` is empty; every rule says why"));
        }
        let sets_nothing = class.is_none()
            && compare.is_none()
            && severity.is_none()
            && ignore.is_none()
            && hide.is_none()
            && expect.is_none()
            && promote_within.is_none();
        if sets_nothing {
            return Err(self.refuse(at, "it sets nothing: give it a `class`, a `compare`, a `severity`, `ignore`, `hide`, an `expect` or a `promote_within`"));
        }
        if or_absent && expect.is_none() {
            return Err(self.refuse(at, "it says `or_absent` and expects nothing: give it an `expect`"));
        }
        let limits_comparison = !environments.is_empty() || !nodes.is_empty();
        if limits_comparison && (class.is_some() || compare.is_some() || promote_within.is_some()) {
            return Err(self.refuse(
                at,
                "`class`, `compare` and `promote_within` hold across environments: such a rule cannot be limited to `environments` or `nodes`",
            ));
        }
        let value = expect.as_ref().map(|expected| self.expectation(expected)).transpose()?;
        let promote_within = promote_within.map(|text| self.duration(&text)).transpose()?;
        let holders =
            Holders { environments, roles, nodes: nodes.iter().map(|name| Glob::new(name)).collect() };
        let set = |path: &String| Rule {
            path: Glob::new(path),
            class,
            compare,
            severity,
            ignore,
            hide,
            // A pattern speaks of what is there.
            expect: value
                .clone()
                .map(|value| Expected { value, or_absent: or_absent || path.contains(['*', '?']) }),
            promote_within,
            holders: holders.clone(),
            reason: reason.clone(),
        };
        Ok(path.iter().chain(&paths).map(set).collect())
    }

    fn expectation(&self, expected: &Spanned<FileExpectation>) -> Result<Expectation, PolicyError> {
        let text = |scalar: &Scalar| match scalar {
            Scalar::Text(text) => text.clone(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Truth(truth) => truth.to_string(),
        };
        let read = match expected.get_ref() {
            FileExpectation::One(one) => Expectation::parse(&text(one)),
            FileExpectation::Several(several) => {
                Expectation::one_of(&several.iter().map(text).collect::<Vec<_>>())
            }
        };
        read.map_err(|what| self.refuse(expected.span().start, what))
    }

    /// `14d`, `36h`: a day has 24 hours.
    fn duration(&self, text: &Spanned<String>) -> Result<SignedDuration, PolicyError> {
        let span: Option<Span> = text.get_ref().parse().ok();
        let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        duration.filter(SignedDuration::is_positive).ok_or_else(|| {
            self.refuse(text.span().start, format!("{:?} is no time span: write 14d or 36h", text.get_ref()))
        })
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
    use super::super::Place;
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
             unknown field `sevrity`, expected one of `path`, `paths`, `class`, `compare`, `severity`, `ignore`, `hide`, `expect`, `or_absent`, `promote_within`, `environments`, `roles`, `nodes`, `reason`\n\
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
    fn rules_that_make_no_sense_are_refused_with_their_place() {
        let head = "name = \"x\"\nversion = 1\n\n[[rule]]\n";
        for (rule, place, what) in [
            ("reason = \"r\"\nseverity = \"info\"\n", "4, column 1", PATHS),
            (
                "path = \"a\"\nseverity = \"info\"\nreason = \" \"\n",
                "4, column 1",
                "its `reason` is empty; every rule says why",
            ),
            (
                "path = \"a\"\nreason = \"r\"\n",
                "4, column 1",
                "it sets nothing: give it a `class`, a `compare`, a `severity`, `ignore`, `hide`, an `expect` or a `promote_within`",
            ),
            (
                "path = \"a\"\nreason = \"r\"\nexpect = \">=\"\n",
                "7, column 10",
                "\">=\" has an operator and no value",
            ),
            (
                "path = \"a\"\nreason = \"r\"\npromote_within = \"soon\"\n",
                "7, column 18",
                "\"soon\" is no time span: write 14d or 36h",
            ),
            (
                "path = \"a\"\nreason = \"r\"\nseverity = \"info\"\nor_absent = true\n",
                "4, column 1",
                "it says `or_absent` and expects nothing: give it an `expect`",
            ),
            (
                "path = \"a\"\nreason = \"r\"\nclass = \"volatile\"\nenvironments = [\"dev\"]\n",
                "4, column 1",
                "`class`, `compare` and `promote_within` hold across environments: such a rule cannot be limited to `environments` or `nodes`",
            ),
        ] {
            assert_eq!(error(&format!("{head}{rule}")), format!("line {place}: {what}"));
        }
        assert_eq!(
            error("name = \"x\"\nversion = 1\n[expect]\n\"go.version\" = []\n"),
            "line 4, column 16: an expectation of no value can never be met"
        );
        assert_eq!(
            error("name = \"x\"\nversion = 1\nextends = \"mine\"\n"),
            "extends = \"mine\": only \"default\" can be extended"
        );
    }

    /// Promise: node before role, role before environment, environment before everybody, wherever they stand.
    #[test]
    fn the_nearer_rule_decides() {
        let rule = |severity: &str, holders: &str| {
            format!("[[rule]]\npath = \"a\"\nseverity = \"{severity}\"\nreason = \"r\"\n{holders}\n")
        };
        let text = format!(
            "name = \"x\"\nversion = 1\n{}{}{}{}",
            rule("info", "nodes = [\"web-7\"]"),
            rule("warning", "roles = [\"web\"]"),
            rule("critical", "environments = [\"prod\"]"),
            rule("warning", ""),
        );
        let policy = Policy::parse(&text).unwrap();
        let severity = |environment, role, node| {
            policy.verdict_at("a", &Place { environment, role, node }).severity.unwrap()
        };
        assert_eq!(severity(Some("dev"), None, None), Severity::Warning);
        assert_eq!(severity(Some("prod"), None, None), Severity::Critical);
        assert_eq!(severity(Some("prod"), Some("web"), None), Severity::Warning);
        assert_eq!(severity(Some("prod"), Some("web"), Some("web-7")), Severity::Info);
        assert_eq!(severity(Some("prod"), Some("web"), Some("web-8")), Severity::Warning);
    }
}
