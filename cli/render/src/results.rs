//! What a report, a comparison or a gate comes to, for the formats that show findings: Markdown, HTML, JUnit, SARIF.

use evenkeel_drift::report::{Environment, Finding, Severity, State, Status, Unknown};
use jiff::Timestamp;

use crate::words::value_text;

/// What was found, and under which heading.
pub struct Results<'a> {
    /// What was compared: `staging held against prod, 14 nodes`. Not escaped.
    pub(crate) title: String,
    /// The answer in one sentence. Not escaped.
    pub(crate) answer: String,
    /// How bad it is.
    pub(crate) mood: Mood,
    /// The moment that it speaks of, where that is known.
    pub(crate) as_of: Option<Timestamp>,
    /// The policy, where that is known: `default@1`.
    pub(crate) policy: Option<&'a str>,
    /// The names of the environments, the reference last: the columns.
    pub(crate) columns: Vec<&'a str>,
    /// The environments, where more than their names is known.
    pub(crate) environments: &'a [Environment],
    /// The environment that the others are held against.
    pub(crate) reference: &'a str,
    /// The worst first.
    pub(crate) findings: &'a [Finding],
    /// What could not be told and was asked for.
    pub(crate) unknowns: Vec<&'a Unknown>,
    /// Whether it is known since when a finding is as it is: snapshot files know only when they were taken.
    pub(crate) dated: bool,
    /// Whether `evenkeel explain` knows the findings.
    pub(crate) hints: bool,
}

/// How bad an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Unclear,
    Warning,
    Critical,
}

impl Mood {
    /// Of what was found.
    pub(crate) fn of(findings: &[Finding], unknowns: &[&Unknown]) -> Self {
        let open = findings.iter().filter(|finding| finding.status == Status::Open);
        match open.map(|finding| finding.severity).max() {
            Some(Severity::Critical) => Self::Critical,
            Some(Severity::Warning) => Self::Warning,
            _ if !unknowns.is_empty() => Self::Unclear,
            _ => Self::Good,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unclear => "unclear",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One value in one environment.
pub(crate) struct Held {
    /// The value, or what stands in its place. Not escaped.
    pub(crate) text: String,
    /// How many nodes hold it.
    pub(crate) nodes: u64,
    /// Whether it is a value.
    pub(crate) is_value: bool,
    /// Whether the reference does not hold it.
    pub(crate) odd: bool,
}

/// What an environment holds at a finding; empty when it has no say.
pub(crate) fn held(finding: &Finding, environment: &str, reference: &str) -> Vec<Held> {
    let of = |name: &str| {
        let name = name.to_owned();
        finding.values.iter().filter(move |value| value.environment == name)
    };
    of(environment)
        .map(|value| Held {
            text: value_text(value.state, value.value.as_deref()).into_owned(),
            nodes: value.nodes,
            is_value: value.state == State::Present && value.value.as_deref() != Some(""),
            odd: environment != reference
                && value.state != State::Unreadable
                && of(reference)
                    .next()
                    .is_some_and(|agreed| (&agreed.value, agreed.state) != (&value.value, value.state)),
        })
        .collect()
}

/// `65535`, or `4096 (9) | 65535 (3)` when nodes disagree.
pub(crate) fn in_one_cell(held: &[Held]) -> String {
    match held {
        [] => String::new(),
        [only] => only.text.clone(),
        several => {
            let each: Vec<String> =
                several.iter().map(|held| format!("{} ({})", held.text, held.nodes)).collect();
            each.join(" | ")
        }
    }
}
