//! The one entry: a fleet, a policy and a query in, a report out.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::contents::contents;
use crate::coverage::{self, Coverage};
use crate::entity;
use crate::fleet::Fleet;
use crate::hardware::Hardware;
use crate::judge::{Bench, Difference};
use crate::policy::Policy;
use crate::query::Query;
use crate::report::{Environment, Finding, MAX_UNKNOWNS, Report, SCHEMA, Severity, Status, Summary};
use crate::rows::rows;
use crate::scope::{Role, Scope};
use crate::unknown::{Draft, Unknowns};

/// Where the environments differ. Pure: the same fleet, policy, query and time give the same report, byte for byte,
/// whatever the order of the nodes.
///
/// Names in the query that the fleet does not have are environments without nodes: see [`Query::check`].
pub fn evaluate(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Report {
    evaluate_naming(fleet, policy, query, now, MAX_UNKNOWNS)
}

/// The same, naming more unknowns (or fewer).
pub(crate) fn evaluate_naming(
    fleet: &Fleet,
    policy: &Policy,
    query: &Query,
    now: Timestamp,
    max_unknowns: usize,
) -> Report {
    let scope = Scope::new(fleet, query);
    let mut run = Run {
        policy,
        query,
        findings: Vec::new(),
        unknowns: Vec::new(),
        summary: Summary::default(),
        coverage: vec![Coverage::default(); fleet.environments.len()],
    };
    for (at, role) in scope.roles.iter().enumerate() {
        run.role(at, role);
    }
    let Run { mut findings, mut unknowns, mut summary, coverage, .. } = run;
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)).then_with(|| a.role.cmp(&b.role))
    });
    summary.unknown = unknowns.len() as u64;
    unknowns.sort_by(|(role, a), (other, b)| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| a.path.cmp(&b.path))
            .then(role.cmp(other))
            .then(a.nodes.cmp(&b.nodes))
    });
    unknowns.truncate(max_unknowns);
    let reference = scope.reference.map(|at| fleet.environments[at].to_string());
    Report {
        schema: SCHEMA.to_owned(),
        as_of: now,
        journal: fleet.journal,
        policy: policy.label(),
        reference: reference.or_else(|| query.reference.clone()).unwrap_or_default(),
        environments: scope.environments.iter().map(|at| environment(&scope, *at, coverage[*at])).collect(),
        findings,
        unknowns: unknowns.into_iter().map(|(role, unknown)| unknown.name(&scope.roles[role])).collect(),
        summary,
    }
}

struct Run<'a> {
    policy: &'a Policy,
    query: &'a Query,
    findings: Vec<Finding>,
    /// With the index of their role.
    unknowns: Vec<(usize, Draft)>,
    summary: Summary,
    /// By environment.
    coverage: Vec<Coverage>,
}

impl Run<'_> {
    fn role(&mut self, at: usize, role: &Role<'_>) {
        let sources = contents(role);
        let hardware = Hardware::new(&sources, role.nodes.len());
        let fresh: Vec<u64> = role.cohorts.iter().map(|cohort| cohort.fresh.len() as u64).collect();
        let mut coverage = vec![Coverage::default(); role.cohorts.len()];
        let mut unknowns = Unknowns::default();
        let mut open = HashSet::new();
        for contents in &sources {
            let bench = Bench { policy: self.policy, role, contents, hardware: &hardware };
            let mut rows = rows(contents);
            coverage::count(contents, &rows, &fresh, &mut coverage);
            unknowns.add(contents, &rows, self.policy);
            let things = entity::roll_up(contents, &mut rows);
            let facts = rows.len() - things;
            for (place, row) in rows.iter().enumerate() {
                let Some(difference) = bench.difference(row) else { continue };
                self.count(&difference);
                if difference.status == Status::Open {
                    open.insert(row.path.to_owned());
                }
                if self.is_wanted(&difference) {
                    self.findings.push(bench.finding(row, difference, place >= facts));
                }
            }
        }
        for (cohort, count) in role.cohorts.iter().zip(coverage) {
            self.coverage[cohort.environment].add(count);
        }
        let stale = role.cohorts.iter().enumerate().filter(|(_, cohort)| cohort.fresh.is_empty());
        self.unknowns.extend(stale.map(|(cohort, _)| (at, Draft::stale(cohort))));
        self.unknowns.extend(unknowns.finish(&open).into_iter().map(|unknown| (at, unknown)));
    }

    fn count(&mut self, difference: &Difference) {
        let count = match (difference.status, difference.severity) {
            (Status::Open, Severity::Critical) => &mut self.summary.critical,
            (Status::Open, Severity::Warning) => &mut self.summary.warning,
            (Status::Open, Severity::Info) => &mut self.summary.info,
            (Status::Explained, _) => &mut self.summary.explained,
            (Status::Accepted, _) => &mut self.summary.accepted,
            (Status::Resolved, _) => return,
        };
        *count += 1;
    }

    fn is_wanted(&self, difference: &Difference) -> bool {
        let severe = self.query.min_severity.is_none_or(|least| difference.severity >= least);
        self.query.all || (difference.status == Status::Open && severe)
    }
}

fn environment(scope: &Scope<'_>, at: usize, coverage: Coverage) -> Environment {
    let cohorts =
        || scope.roles.iter().flat_map(|role| &role.cohorts).filter(move |cohort| cohort.environment == at);
    let fresh: usize = cohorts().map(|cohort| cohort.fresh.len()).sum();
    let mut stale_nodes: Vec<String> =
        cohorts().flat_map(|cohort| &cohort.stale).map(|node| node.name.to_string()).collect();
    stale_nodes.sort_unstable();
    Environment {
        name: scope.fleet.environments[at].to_string(),
        nodes: (fresh + stale_nodes.len()) as u64,
        fresh: fresh as u64,
        stale: stale_nodes.len() as u64,
        stale_nodes,
        coverage: coverage.share(),
    }
}
