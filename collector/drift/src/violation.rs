//! Values that are not what the policy expects of them, wherever they are.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::judge::{Bench, id_of};
use crate::lead::Whole;
use crate::lookup::Lookup;
use crate::policy::{Expectation, Place, Verdict};
use crate::report::{Finding, Kind, Severity, Status};
use crate::rows::Row;
use crate::since::{Became as _, FactBecame};
use crate::spread::{Outcome, Spread, What};
use crate::summary;

/// Every violation in one source, by path.
pub(crate) fn violations(bench: &Bench<'_>, lookup: &Lookup<'_, '_>) -> Vec<Whole> {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for rule in bench.policy.expecting() {
        if !rule.path.is_literal() {
            paths.extend(lookup.paths(rule.path.literal_prefix(), |path| rule.path.matches(path)));
        }
    }
    let literal = bench.policy.expecting().filter(|rule| rule.path.is_literal());
    let literal: Vec<&str> = literal.map(|rule| rule.path.as_str()).collect();
    paths.extend(literal);
    paths.into_iter().filter_map(|path| violation(bench, &lookup.row(path)?)).collect()
}

fn violation(bench: &Bench<'_>, row: &Row<'_>) -> Option<Whole> {
    let verdict = bench.policy.verdict_at(row.path, &bench.place());
    let spread = Spread::new(row, bench.contents, bench.role, verdict.compare);
    let mut found = Found { worst: None, expected: BTreeSet::new(), nodes: Vec::new() };
    let cohorts = &bench.role.cohorts;
    let mut wrong = vec![vec![0_u32; spread.outcomes.len()]; cohorts.len()];
    for (at, cohort) in cohorts.iter().enumerate() {
        let place = Place { environment: Some(cohort.name), ..bench.place() };
        for (outcome, _) in spread.held(at) {
            let nodes = || spread.nodes(bench.contents, bench.role, |c, o| c == at && o == outcome);
            if bench.policy.limited().by_node {
                for node in nodes() {
                    let place = Place { node: Some(&bench.role.node(node).name), ..place };
                    if found.violates(bench, row.path, &spread.outcomes[outcome], &place) {
                        wrong[at][outcome] += 1;
                        found.nodes.push(node);
                    }
                }
            } else if found.violates(bench, row.path, &spread.outcomes[outcome], &place) {
                wrong[at][outcome] = spread.outcomes[outcome].counts[at];
                found.nodes.extend(nodes());
            }
        }
    }
    let Found { worst, expected, nodes } = found;
    let (severity, reason) = worst?;
    let expected = Expectation::join(expected);
    let became = |at: &u32| FactBecame { role: bench.role, path: row.path }.became(*at);
    let told = nodes.iter().copied().collect();
    let finding = Finding {
        id: id_of(Kind::Violates, bench.role.name, row.path),
        path: row.path.to_owned(),
        kind: Kind::Violates,
        severity,
        status: Status::Open,
        role: bench.role.name.to_owned(),
        values: spread.values(bench.role),
        since: nodes.iter().map(became).min().unwrap_or(Timestamp::UNIX_EPOCH),
        summary: summary::unwanted(&spread, bench.role, &wrong, &format!("{expected} is expected")),
        nodes: bench.role.list(nodes),
        reason,
        expected: Some(expected),
        parts: Vec::new(),
        acceptance: None,
    };
    Some(Whole { finding, told })
}

/// What was found at one path.
struct Found {
    worst: Option<(Severity, String)>,
    expected: BTreeSet<String>,
    nodes: Vec<u32>,
}

impl Found {
    /// Whether what is held is not what is expected of this place; notes it.
    fn violates(&mut self, bench: &Bench<'_>, path: &str, held: &Outcome, place: &Place<'_>) -> bool {
        let verdict: Verdict = bench.policy.verdict_at(path, place);
        let Some((expected, rule)) = bench.policy.expected(&verdict).filter(|_| !verdict.ignore) else {
            return false;
        };
        let is_met = match &held.what {
            What::Present(value) => expected.value.is_met(value, verdict.compare),
            What::Absent => expected.or_absent,
            What::There | What::Unreadable | What::Inapplicable => true,
        };
        if is_met {
            return false;
        }
        // Somebody wrote it down, so it is worth a look.
        let severity = verdict.severity().max(Severity::Warning);
        let severity = rule.severity.unwrap_or(severity);
        if self.worst.as_ref().is_none_or(|(worst, _)| severity > *worst) {
            self.worst = Some((severity, rule.reason.clone()));
        }
        self.expected.insert(expected.value.to_string());
        true
    }
}
