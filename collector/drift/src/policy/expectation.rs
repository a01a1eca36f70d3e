//! What a policy expects of a value: `1.21.6`, `>= 65535`, `1024..4096`, `/^5\./`, or one of several.

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;

use crate::compare::Compare;

/// The largest compiled pattern, in bytes: a policy is not to take the memory of the collector.
const MAX_PATTERN: usize = 1024 * 1024;

/// Between the expectations of several places, in one finding.
const OR: &str = " or ";
/// Before the values of a list.
const ONE_OF: &str = "one of ";

/// What a policy expects of a value.
#[derive(Debug, Clone)]
pub struct Expectation {
    text: String,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Holds(Operator, String),
    /// Both ends are part of it.
    Between(String, String),
    Matches(Regex),
    OneOf(Vec<Expectation>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl PartialEq for Expectation {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expectation {}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expectation {
    /// Reads one expectation. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let own = text.trim();
        if own.is_empty() {
            return Err(
                "an expectation is empty: write a value, `>= 65535`, `1..9`, or `/pattern/`".to_owned()
            );
        }
        let form = if let Some(pattern) = own.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            let built = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
            let why = |error: regex::Error| {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("/{pattern}/ is no regular expression: {last}")
            };
            Form::Matches(built.map_err(why)?)
        } else if let Some((low, high)) = range(own) {
            Form::Between(low.to_owned(), high.to_owned())
        } else {
            let (operator, operand) = operator(own);
            if operand.is_empty() {
                return Err(format!("{own:?} has an operator and no value"));
            }
            Form::Holds(operator, operand.to_owned())
        };
        Ok(Self { text: own.to_owned(), form })
    }

    /// What several places expect, as a finding says it.
    pub(crate) fn join(expected: impl IntoIterator<Item = String>) -> String {
        expected.into_iter().collect::<Vec<_>>().join(OR)
    }

    /// The one value that would meet what a finding says is expected; `None` for a range, a pattern, a list, and where
    /// places expect different things.
    pub fn one_value(said: &str) -> Option<String> {
        match Self::parse(said).ok()?.form {
            Form::Holds(Operator::Equal, value) if !value.contains(OR) && !value.starts_with(ONE_OF) => {
                Some(value)
            }
            _ => None,
        }
    }

    /// Why no value that compares so can meet it; `None`: one can. Without a comparison: why none can, however it compares.
    pub fn never(&self, compare: Option<Compare>) -> Option<String> {
        let never = |why: &str| Some(format!("`{}` can never be met: {why}", self.text));
        if let Form::Holds(Operator::Equal | Operator::NotEqual, value) = &self.form {
            let values: Vec<String> =
                value.strip_prefix(ONE_OF)?.split(',').map(|value| format!("{:?}", value.trim())).collect();
            return Some(format!("{value:?} is one text; write a list: [{}]", values.join(", ")));
        }
        if let Form::OneOf(several) = &self.form {
            return several.iter().find_map(|one| one.never(compare));
        }
        let compare = compare?;
        let no_order = |ends: &[&String]| {
            let odd = ends.iter().find(|end| !is_ordered(end, compare))?;
            never(&format!("{odd:?} is no {}", what_is_ordered(compare)))
        };
        match &self.form {
            Form::OneOf(_) | Form::Matches(_) => None,
            Form::Between(low, high) => no_order(&[low, high]).or_else(|| {
                let is_empty = order(&canonical(low, compare), high, compare).is_some_and(Ordering::is_gt);
                if is_empty { never("it ends before it begins") } else { None }
            }),
            Form::Holds(_, value) => no_order(&[value]),
        }
    }

    /// Any one of these. The error is a sentence.
    pub fn one_of(texts: &[String]) -> Result<Self, String> {
        let several: Vec<Self> = texts.iter().map(|text| Self::parse(text)).collect::<Result<_, _>>()?;
        match several.as_slice() {
            [] => Err("an expectation of no value can never be met".to_owned()),
            [one] => Ok(one.clone()),
            _ => Ok(Self { text: format!("{ONE_OF}{}", texts.join(", ")), form: Form::OneOf(several) }),
        }
    }

    /// Whether a value in canonical form meets it.
    pub fn is_met(&self, value: &str, compare: Compare) -> bool {
        let order = |other: &str| order(value, other, compare);
        match &self.form {
            Form::OneOf(several) => several.iter().any(|one| one.is_met(value, compare)),
            Form::Matches(pattern) => pattern.is_match(value),
            Form::Between(low, high) => {
                order(low).is_some_and(Ordering::is_ge) && order(high).is_some_and(Ordering::is_le)
            }
            Form::Holds(operator, other) => match operator {
                Operator::Equal => is_same(value, other, compare),
                Operator::NotEqual => !is_same(value, other, compare),
                Operator::Less => order(other).is_some_and(Ordering::is_lt),
                Operator::AtMost => order(other).is_some_and(Ordering::is_le),
                Operator::Greater => order(other).is_some_and(Ordering::is_gt),
                Operator::AtLeast => order(other).is_some_and(Ordering::is_ge),
            },
        }
    }
}

fn operator(text: &str) -> (Operator, &str) {
    let operators = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        ("!=", Operator::NotEqual),
        ("==", Operator::Equal),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("=", Operator::Equal),
    ];
    for (sign, operator) in operators {
        if let Some(rest) = text.strip_prefix(sign) {
            return (operator, rest.trim());
        }
    }
    (Operator::Equal, text)
}

/// `1024..4096`: both ends begin as numbers and versions do.
fn range(text: &str) -> Option<(&str, &str)> {
    let (low, high) = text.split_once("..")?;
    let (low, high) = (low.trim(), high.trim());
    let counts = |end: &str| end.trim_start_matches(['-', 'v']).starts_with(|c: char| c.is_ascii_digit());
    (counts(low) && counts(high)).then_some((low, high))
}

fn canonical(text: &str, compare: Compare) -> String {
    compare.canonical(&text.into()).map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned)
}

fn is_same(value: &str, other: &str, compare: Compare) -> bool {
    value == canonical(other, compare)
}

/// Whether others can be less or more than it.
fn is_ordered(value: &str, compare: Compare) -> bool {
    let value = canonical(value, compare);
    value.contains(|c: char| c.is_ascii_digit()) && order(&value, &value, compare).is_some()
}

/// What has an order, in words.
fn what_is_ordered(compare: Compare) -> &'static str {
    match compare {
        Compare::Text | Compare::Integer | Compare::Mask | Compare::Set => "number",
        Compare::Go => "version of Go",
        Compare::Semver | Compare::Build => "semantic version",
        Compare::Package | Compare::Dpkg | Compare::Rpm | Compare::Apk => "version of a package",
        Compare::Kernel => "release of a kernel",
        Compare::Numeric => "version",
    }
}

/// Numbers as numbers; versions by their own order.
fn order(value: &str, other: &str, compare: Compare) -> Option<Ordering> {
    let other = canonical(other, compare);
    match (value.parse::<i128>(), other.parse::<i128>()) {
        (Ok(value), Ok(other)) => Some(value.cmp(&other)),
        _ => compare.order(value, &other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expectation: &str, value: &str, compare: Compare) -> bool {
        Expectation::parse(expectation).unwrap().is_met(&canonical(value, compare), compare)
    }

    #[test]
    fn values_meet_what_is_expected_of_them() {
        for (expectation, value, compare) in [
            ("1.21.6", "go1.21.6", Compare::Go),
            (">= 65535", "65535", Compare::Integer),
            (">=1.21", "1.21.6", Compare::Go),
            ("< 2.40", "2.36", Compare::Numeric),
            ("!= 0", "1", Compare::Integer),
            ("1024..4096", "4096", Compare::Integer),
            ("1.20..1.21.6", "1.21.0", Compare::Go),
            ("/^5\\.(4|10)\\./", "5.10.0-1-amd64", Compare::Kernel),
            ("1024 65000", "1024\t65000", Compare::Integer),
            ("= -1", "4294967295", Compare::Integer),
        ] {
            assert!(met(expectation, value, compare), "{expectation} {value}");
        }
    }

    #[test]
    fn others_do_not() {
        for (expectation, value, compare) in [
            ("1.21.6", "1.21.7", Compare::Go),
            (">= 65535", "4096", Compare::Integer),
            (">= 65535", "many", Compare::Integer),
            ("1024..4096", "4097", Compare::Integer),
            ("/^5\\./", "6.5.0", Compare::Kernel),
            ("> 1", "2", Compare::Set),
        ] {
            let numbers = compare == Compare::Set;
            assert_eq!(met(expectation, value, compare), numbers, "{expectation} {value}");
        }
    }

    #[test]
    fn one_of_several() {
        let several = Expectation::one_of(&["cubic".into(), "bbr".into()]).unwrap();
        assert_eq!(several.to_string(), "one of cubic, bbr");
        assert!(several.is_met("bbr", Compare::Text) && !several.is_met("reno", Compare::Text));
    }

    /// Promise: of what a finding says is expected, only a single value is a value to set.
    #[test]
    fn one_value_is_told_from_ranges_and_lists() {
        for (said, value) in
            [("65535", "65535"), ("= 1", "1"), ("Europe/Berlin", "Europe/Berlin"), ("a,b", "a,b")]
        {
            assert_eq!(Expectation::one_value(said).as_deref(), Some(value));
        }
        let places = Expectation::join(["65535".to_owned(), "4096".to_owned()]);
        for said in [">= 65535", "0..1", "1024 .. 4096", "!= 0", "/^5/", "one of 1, 2", "> 1 or 0", &places] {
            assert_eq!(Expectation::one_value(said), None, "{said}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| Expectation::parse(text).unwrap_err();
        assert_eq!(refused(">="), "\">=\" has an operator and no value");
        assert_eq!(
            refused(" "),
            "an expectation is empty: write a value, `>= 65535`, `1..9`, or `/pattern/`"
        );
        assert_eq!(refused("/(/"), "/(/ is no regular expression: unclosed group");
        assert_eq!(Expectation::one_of(&[]).unwrap_err(), "an expectation of no value can never be met");
    }
}
