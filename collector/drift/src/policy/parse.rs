//! A policy from its TOML text.

use std::fmt;

use evenkeel_facts::Glob;
use evenkeel_facts::path::MAX_PATH_BYTES;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::read::{Placed, Reader, integer, what};
use super::{Advice, AdviceTexts, Expectation, Expected, Holders, Policy, Rule};
use crate::compare::Compare;

/// The largest policy text, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// The most globs in one policy.
const MAX_RULES: usize = 10_000;

/// So many mistakes are said: whoever has made more has written something else than a policy.
pub(super) const MOST_SAID: usize = 20;

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is too large to be one.
    #[error("the policy has {0} bytes; a policy has at most {MAX_BYTES}")]
    TooLarge(usize),
    /// It has more rules than one can read.
    #[error("the policy has more than {MAX_RULES} paths")]
    TooMany,
    /// Everything that is wrong, from the top down; never empty.
    #[error("{}", all(.0))]
    Mistakes(Vec<Mistake>),
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// Where in the line, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

/// One in its line; several below their number.
fn all(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [one] => one.clone(),
        several => {
            let shown = &several[..several.len().min(MOST_SAID)];
            let more = match several.len() - shown.len() {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            format!("{} mistakes\n{}{more}", several.len(), shown.join("\n"))
        }
    }
}

/// What a policy speaks of, and where it does so: whoever checks it asks whether that is there.
#[derive(Debug)]
pub(super) enum Mention {
    Path(String),
    Environment(String),
    /// What is expected of these paths; the comparison if the same rule sets it.
    Expectation(Expectation, Vec<String>, Option<Compare>),
}

/// What could be read of a policy.
pub(super) struct Parsed {
    pub(super) policy: Policy,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) mentions: Vec<Placed<Mention>>,
}

impl Policy {
    /// Reads a policy: `name`, `version`, `extends = "default"` if its rules stand behind those of the default
    /// policy, `[[rule]]` tables, one table `[expect]`, and `[[advice]]` tables, which decide nothing.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let Parsed { policy, mistakes, mentions: _ } = parse(text)?;
        if mistakes.is_empty() { Ok(policy) } else { Err(PolicyError::Mistakes(mistakes)) }
    }
}

/// Reads all that can be read.
pub(super) fn parse(text: &str) -> Result<Parsed, PolicyError> {
    if text.len() > MAX_BYTES {
        return Err(PolicyError::TooLarge(text.len()));
    }
    let (reader, table) = Reader::open(text);
    let mut parser = Parser { reader, mentions: Vec::new() };
    let table = table.get_ref();
    parser.reader.only(table, &["name", "version", "extends", "rule", "expect", "advice"]);
    for key in ["name", "version"] {
        if !table.contains_key(key) {
            parser.reader.wrong(0, format!("the policy has no `{key}`"));
        }
    }
    let name = parser.reader.text(table, "name").map(|name| name.value).unwrap_or_default();
    let version = parser.reader.number(table, "version").unwrap_or_default();
    let (mut rules, mut advice) = match parser.reader.text(table, "extends") {
        None => Default::default(),
        Some(Placed { value, at }) => {
            if value != "default" {
                parser.reader.wrong(at, format!("extends = {value:?}: only \"default\" can be extended"));
            }
            let Policy { rules, advice, .. } = Policy::default_policy();
            (rules, advice)
        }
    };
    parser.expectations(table, &mut rules);
    if rules.len() > MAX_RULES {
        return Err(PolicyError::TooMany);
    }
    for Placed { at, value } in parser.reader.tables(table, "rule") {
        rules.extend(parser.rules(at, value));
        if rules.len() > MAX_RULES {
            return Err(PolicyError::TooMany);
        }
    }
    for Placed { at, value } in parser.reader.tables(table, "advice") {
        advice.push(parser.advice(at, value));
    }
    let Parser { reader, mentions } = parser;
    Ok(Parsed { policy: Policy::new(name, version, rules, advice), mistakes: reader.finish(), mentions })
}

struct Parser<'t> {
    reader: Reader<'t>,
    mentions: Vec<Placed<Mention>>,
}

impl Parser<'_> {
    fn mention(&mut self, at: usize, value: Mention) {
        if let Mention::Path(path) = &value
            && path.len() > MAX_PATH_BYTES
        {
            let bytes = path.len();
            return self
                .reader
                .wrong(at, format!("a path has at most {MAX_PATH_BYTES} bytes, and this one has {bytes}"));
        }
        self.mentions.push(Placed { at, value });
    }

    /// `[expect]`: expectations in one line each, path and value.
    fn expectations(&mut self, table: &DeTable<'_>, rules: &mut Vec<Rule>) {
        let Some(given) = table.get("expect") else { return };
        let Some(expected) = given.get_ref().as_table() else {
            let is = what(given);
            return self.reader.wrong(given.span().start, format!("`[expect]` is a table, and this is {is}"));
        };
        for (key, value) in expected {
            let path = key.get_ref().to_string();
            self.mention(key.span().start, Mention::Path(path.clone()));
            let Some(value) = self.expectation(value, vec![path.clone()], None) else { continue };
            rules.push(Rule {
                expect: Some(Expected { value, or_absent: path.contains(['*', '?']) }),
                reason: "The policy expects this value.".to_owned(),
                ..Rule::of(Glob::new(&path))
            });
        }
    }

    /// One rule for each of its paths.
    fn rules(&mut self, at: usize, table: &DeTable<'_>) -> Vec<Rule> {
        const KEYS: [&str; 14] = [
            "path",
            "paths",
            "class",
            "compare",
            "severity",
            "ignore",
            "hide",
            "expect",
            "or_absent",
            "promote_within",
            "environments",
            "roles",
            "nodes",
            "reason",
        ];
        self.reader.only(table, &KEYS);
        let paths = self.paths(at, table);
        let class = self.reader.word(table, "class");
        let compare = self.reader.word(table, "compare");
        let severity = self.reader.word(table, "severity");
        let ignore = self.reader.truth(table, "ignore");
        let hide = self.reader.truth(table, "hide");
        let or_absent = self.reader.truth(table, "or_absent").unwrap_or_default();
        let expect = table.get("expect");
        let expect = expect.and_then(|expected| self.expectation(expected, paths.clone(), compare));
        let promote_within = self.reader.text(table, "promote_within");
        let promote_within = promote_within.and_then(|text| self.duration(&text));
        let environments = self.reader.texts(table, "environments");
        for Placed { at, value } in &environments {
            self.mention(*at, Mention::Environment(value.clone()));
        }
        let nodes = self.reader.texts(table, "nodes");
        let reason = self.reader.text(table, "reason").map(|reason| reason.value);
        let has = |key: &str| table.contains_key(key);
        if !has("reason") {
            self.reader.wrong(at, "it has no `reason`; every rule says why");
        } else if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            self.reader.wrong(at, "its `reason` is empty; every rule says why");
        }
        if !["class", "compare", "severity", "ignore", "hide", "expect", "promote_within"]
            .into_iter()
            .any(has)
        {
            self.reader.wrong(at, "it sets nothing: give it a `class`, a `compare`, a `severity`, `ignore`, `hide`, an `expect` or a `promote_within`");
        }
        if or_absent && !has("expect") {
            self.reader.wrong(at, "it says `or_absent` and expects nothing: give it an `expect`");
        }
        let limits_comparison = !environments.is_empty() || !nodes.is_empty();
        if limits_comparison && ["class", "compare", "promote_within"].into_iter().any(has) {
            self.reader.wrong(
                at,
                "`class`, `compare` and `promote_within` hold across environments: such a rule cannot be limited to `environments` or `nodes`",
            );
        }
        let texts = |placed: Vec<Placed<String>>| placed.into_iter().map(|placed| placed.value).collect();
        let holders = Holders {
            environments: texts(environments),
            roles: texts(self.reader.texts(table, "roles")),
            nodes: nodes.iter().map(|name| Glob::new(&name.value)).collect(),
        };
        let set = |path: &String| Rule {
            path: Glob::new(path),
            class,
            compare,
            severity,
            ignore,
            hide,
            // A pattern speaks of what is there.
            expect: expect
                .clone()
                .map(|value| Expected { value, or_absent: or_absent || path.contains(['*', '?']) }),
            promote_within,
            holders: holders.clone(),
            reason: reason.clone().unwrap_or_default(),
        };
        paths.iter().map(set).collect()
    }

    fn advice(&mut self, at: usize, table: &DeTable<'_>) -> Advice {
        self.reader.only(table, &["path", "paths", "risk", "remedy", "file"]);
        for key in ["risk", "remedy"] {
            if !table.contains_key(key) {
                self.reader.wrong(at, format!("it has no `{key}`"));
            }
        }
        let paths = self.paths(at, table).iter().map(|path| Glob::new(path)).collect();
        let mut text = |key| self.reader.text(table, key).map(|text| text.value).unwrap_or_default();
        Advice {
            paths,
            texts: AdviceTexts { risk: text("risk"), remedy: text("remedy"), file: text("file") },
        }
    }

    /// The `path`, or the `paths`.
    fn paths(&mut self, at: usize, table: &DeTable<'_>) -> Vec<String> {
        let mut paths = self.reader.texts(table, "paths");
        if table.contains_key("path") != paths.is_empty() {
            self.reader.wrong(at, PATHS);
        }
        paths.extend(self.reader.text(table, "path"));
        for Placed { at, value } in &paths {
            self.mention(*at, Mention::Path(value.clone()));
        }
        paths.into_iter().map(|path| path.value).collect()
    }

    /// A value, or one of several.
    fn expectation(
        &mut self,
        expected: &Spanned<DeValue<'_>>,
        paths: Vec<String>,
        compare: Option<Compare>,
    ) -> Option<Expectation> {
        let at = expected.span().start;
        let read = match expected.get_ref() {
            DeValue::Array(several) => {
                let texts: Option<Vec<String>> = several.iter().map(scalar).collect();
                texts.map(|texts| Expectation::one_of(&texts))
            }
            DeValue::Table(_) => {
                Some(Err("a path is written in quotes: \"go.version\" = \"1.21.6\"".to_owned()))
            }
            _ => scalar(expected).map(|text| Expectation::parse(&text)),
        };
        let read = read.unwrap_or_else(|| {
            Err("an expectation is a text, a number, true or false, or a list of them".to_owned())
        });
        match read {
            Ok(expectation) => {
                self.mention(at, Mention::Expectation(expectation.clone(), paths, compare));
                Some(expectation)
            }
            Err(what) => {
                self.reader.wrong(at, what);
                None
            }
        }
    }

    /// `14d`, `36h`: a day has 24 hours.
    fn duration(&mut self, Placed { at, value }: &Placed<String>) -> Option<SignedDuration> {
        let span: Option<Span> = value.parse().ok();
        let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let duration = duration.filter(SignedDuration::is_positive);
        if duration.is_none() {
            self.reader.wrong(*at, format!("{value:?} is no time span: write 14d or 36h"));
        }
        duration
    }
}

const PATHS: &str = "it needs a `path`, or several `paths`, and not both";

/// A single value as a text.
fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Integer(_) => integer(value).map(|number| number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;
    use crate::report::Severity;

    fn error(text: &str) -> String {
        Policy::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest() {
        let text = "name = \"x\"\nversion = 1\n[[rule]]\npath = \"a\"\nsevrity = \"info\"\nreason = \"r\"\n";
        assert_eq!(
            error(text),
            "2 mistakes\n\
             line 3, column 1: it sets nothing: give it a `class`, a `compare`, a `severity`, `ignore`, `hide`, an `expect` or a `promote_within`\n\
             line 5, column 1: unknown key `sevrity`; did you mean `severity`?"
        );
    }

    #[test]
    fn an_unknown_word_names_the_nearest() {
        let text =
            "name = \"x\"\nversion = 1\n[[rule]]\npath = \"a\"\nclass = \"derived(mem)\"\nreason = \"r\"\n";
        assert_eq!(
            error(text),
            "line 5, column 9: there is no class `derived(mem)`; did you mean `derived(ram)`?"
        );
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
            "line 3, column 11: extends = \"mine\": only \"default\" can be extended"
        );
    }

    /// Promise: every mistake is said, from the top down, also behind what is no TOML.
    #[test]
    fn every_mistake_is_said() {
        let text = "nam = \"x\"\nversion = \"1\"\nextends = \"defalt\"\n[expect]\n\"go.version\" = 1.5\n\
            [[rule]]\npaths = [\"a\", 1]\nseverity = \"grave\"\nhide = \"yes\"\n\
            [[rule]]\npath = \"b\"\nseverity = \"warning\nreason = \"r\"\n\
            [[advice]]\npath = \"a\"\nrisk = \"r\"\n";
        assert_eq!(
            error(text),
            "11 mistakes\n\
             line 1, column 1: the policy has no `name`\n\
             line 1, column 1: unknown key `nam`; did you mean `name`?\n\
             line 2, column 11: `version` is a number from 0 to 4294967295, and this is a text\n\
             line 3, column 11: extends = \"defalt\": only \"default\" can be extended\n\
             line 5, column 16: an expectation is a text, a number, true or false, or a list of them\n\
             line 6, column 1: it has no `reason`; every rule says why\n\
             line 7, column 15: `paths` is a list of texts, and this is a number\n\
             line 8, column 12: there is no severity `grave`; there are `info`, `warning`, `critical`\n\
             line 9, column 8: `hide` is true or false, and this is a text\n\
             line 12, column 20: invalid basic string, expected `\"`\n\
             line 14, column 1: it has no `remedy`"
        );
    }

    /// Promise: `[expect]` counts, and a path is no longer than a fact's can be.
    #[test]
    fn paths_are_bounded() {
        let head = "name = \"x\"\nversion = 1\n[expect]\n";
        let lines: String = (0..=MAX_RULES)
            .flat_map(|at| ["\"a".to_owned(), at.to_string(), "\" = \"1\"\n".to_owned()])
            .collect();
        assert_eq!(error(&format!("{head}{lines}")), "the policy has more than 10000 paths");
        let long = "a".repeat(MAX_PATH_BYTES + 1);
        assert_eq!(
            error(&format!("{head}\"{long}\" = \"1\"\n")),
            "line 4, column 1: a path has at most 1024 bytes, and this one has 1025"
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
