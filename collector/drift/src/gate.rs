//! Whether one environment may be promoted into another.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evaluate::evaluate_naming;
use crate::fleet::Fleet;
use crate::policy::Policy;
use crate::query::Query;
use crate::report::{Finding, Names, Severity, Status, Unknown};
use crate::unknown::EVERYTHING;

/// What a gate answers. Drift wins over cannot tell: what is known to differ needs no more looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Nothing that is bad enough differs, and everything that could have was seen.
    Consistent,
    /// Something differs.
    Drift,
    /// Something that could differ badly enough could not be seen.
    CannotTell,
}

/// What a gate answers, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateOutcome {
    /// The answer.
    pub verdict: GateVerdict,
    /// The environment that would be promoted.
    pub from: String,
    /// The environment that it would go to: the reference.
    pub to: String,
    /// How bad a difference has to be.
    pub fail_on: Severity,
    /// The open findings that are bad enough.
    pub findings: Vec<Finding>,
    /// How many that are bad enough somebody has signed off: they fail no gate, and are not listed.
    #[serde(default)]
    pub accepted: u64,
    /// What could not be told and is bad enough, all of it.
    pub unknowns: Vec<Unknown>,
}

/// The reason of an [`Unknown`] when an environment has no nodes at all.
pub const NO_NODES: &str = "no_nodes";
/// The reason of an [`Unknown`] when the two environments have no role in common.
pub const NO_COMMON_ROLE: &str = "no_common_role";

/// Holds `from` against `to`.
pub fn gate(
    fleet: &Fleet,
    policy: &Policy,
    from: &str,
    to: &str,
    fail_on: Severity,
    now: Timestamp,
) -> GateOutcome {
    let query = Query {
        environments: Some(vec![from.to_owned(), to.to_owned()]),
        role: None,
        reference: Some(to.to_owned()),
        min_severity: Some(fail_on),
        // What is signed off is hidden with the rest, and counted by how bad it is.
        all: !fleet.acceptances.is_empty(),
    };
    let report = evaluate_naming(fleet, policy, &query, now, usize::MAX);
    let grave: Vec<Finding> =
        report.findings.into_iter().filter(|finding| finding.severity >= fail_on).collect();
    let accepted = grave.iter().filter(|finding| finding.status == Status::Accepted).count() as u64;
    let findings: Vec<Finding> = grave.into_iter().filter(|finding| finding.status == Status::Open).collect();
    let mut unknowns = nothing_to_compare(fleet, from, to);
    unknowns.extend(report.unknowns.into_iter().filter(|unknown| unknown.severity >= fail_on));
    let verdict = match (findings.is_empty(), unknowns.is_empty()) {
        (false, _) => GateVerdict::Drift,
        (true, false) => GateVerdict::CannotTell,
        (true, true) => GateVerdict::Consistent,
    };
    GateOutcome { verdict, from: from.to_owned(), to: to.to_owned(), fail_on, findings, accepted, unknowns }
}

/// An environment without nodes, or two without a role in common: there was nothing that could have failed, which
/// must not look like success.
fn nothing_to_compare(fleet: &Fleet, from: &str, to: &str) -> Vec<Unknown> {
    let roles = |name: &str| -> HashSet<&str> {
        let environment = fleet.environments.iter().position(|known| **known == *name);
        let Some(environment) = environment else { return HashSet::new() };
        let roles = fleet.nodes.roles().iter().filter(|(_, role)| role.cohorts.contains_key(&environment));
        roles.map(|(name, _)| &**name).collect()
    };
    let unknown = |role: &str, reason: &str| Unknown {
        path: EVERYTHING.to_owned(),
        severity: Severity::Critical,
        role: role.to_owned(),
        reason: reason.to_owned(),
        nodes: Names::default(),
    };
    let (of_from, of_to) = (roles(from), roles(to));
    match (of_from.is_empty() || of_to.is_empty(), of_from.is_disjoint(&of_to)) {
        (true, _) => vec![unknown("", NO_NODES)],
        (false, true) => vec![unknown("", NO_COMMON_ROLE)],
        (false, false) => Vec::new(),
    }
}
