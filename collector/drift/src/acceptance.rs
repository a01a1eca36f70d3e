//! Sign-off: "this difference is known", by whom, why and until when.

use std::collections::BTreeSet;

use evenkeel_facts::Glob;
use jiff::Timestamp;

use crate::report::{Finding, SignOff, State, Status, ValueCount};

/// Somebody accepted findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// As `accepted` lists it and `unaccept` ends it.
    pub id: String,
    /// What is accepted.
    pub subject: Subject,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From here on it is open again.
    pub until: Timestamp,
}

/// What is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// These findings, for as long as they say what they said.
    Findings(Vec<Known>),
    /// Every finding at a path that matches, whatever it says.
    Paths(Glob),
}

/// A finding as it was when it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub finding: String,
    /// Its path, for people.
    pub path: String,
    /// Environment and value (`None`: missing). Another value is news; how many nodes hold it is not.
    pub values: BTreeSet<(String, Option<String>)>,
}

impl Known {
    /// What a finding says now.
    pub fn of(id: &str, path: &str, values: &[ValueCount]) -> Self {
        Self { finding: id.to_owned(), path: path.to_owned(), values: said(values).collect() }
    }
}

fn said(values: &[ValueCount]) -> impl Iterator<Item = (String, Option<String>)> {
    let told = values.iter().filter(|value| value.state != State::Unreadable);
    told.map(|value| (value.environment.clone(), value.value.clone()))
}

impl Acceptance {
    /// Whether it covers a finding now.
    pub fn covers(&self, id: &str, path: &str, values: &[ValueCount], now: Timestamp) -> bool {
        let is_known =
            |known: &Known| known.finding == id && said(values).all(|pair| known.values.contains(&pair));
        now < self.until
            && match &self.subject {
                Subject::Findings(known) => known.iter().any(is_known),
                Subject::Paths(glob) => glob.matches(path),
            }
    }

    /// As a finding shows it.
    pub fn sign_off(&self) -> SignOff {
        let Self { id, subject: _, owner, reason, until } = self;
        SignOff { id: id.clone(), owner: owner.clone(), reason: reason.clone(), until: *until }
    }

    /// In one sentence.
    pub(crate) fn sentence(&self) -> String {
        let day = self.until.strftime("%Y-%m-%d %H:%M UTC");
        format!("Accepted by {} until {day}: {}", self.owner, self.reason)
    }
}

/// The newest acceptance that covers a finding now.
pub(crate) fn covering<'a>(
    acceptances: &'a [Acceptance],
    id: &str,
    path: &str,
    values: &[ValueCount],
    now: Timestamp,
) -> Option<&'a Acceptance> {
    acceptances.iter().rev().find(|acceptance| acceptance.covers(id, path, values, now))
}

/// Marks a finding that somebody accepted.
pub(crate) fn sign(finding: &mut Finding, acceptances: &[Acceptance], now: Timestamp) {
    if finding.status == Status::Open
        && let Some(acceptance) = covering(acceptances, &finding.id, &finding.path, &finding.values, now)
    {
        finding.status = Status::Accepted;
        finding.reason = acceptance.sentence();
        finding.acceptance = Some(acceptance.sign_off());
    }
}
