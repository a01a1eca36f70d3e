//! The one entry: a fleet, a policy and a query in, a report out.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::contents::contents;
use crate::coverage::{self, Coverage};
use crate::duplicate::duplicates;
use crate::entity;
use crate::fleet::Fleet;
use crate::fold::{Judged, fold};
use crate::hardware::Hardware;
use crate::judge::{Bench, Difference};
use crate::latent;
use crate::lookup::Lookup;
use crate::policy::Policy;
use crate::query::Query;
use crate::report::{Environment, Finding, MAX_UNKNOWNS, Report, SCHEMA, Severity, Status, Summary};
use crate::rows::{Row, rows};
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
    if fleet.unique {
        run.duplicates(&scope);
    }
    let Run { mut findings, mut unknowns, mut summary, coverage, .. } = run;
    findings.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| a.path.cmp(&b.path))
            .then_with(|| a.role.cmp(&b.role))
            .then(a.kind.cmp(&b.kind))
            .then_with(|| a.id.cmp(&b.id))
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
        noise: None,
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
            let mut rows = rows(contents);
            coverage::count(contents, &rows, &fresh, &mut coverage);
            unknowns.add(contents, &rows, self.policy);
            let things = entity::roll_up(contents, &mut rows);
            let lookup = Lookup::new(contents, &rows);
            let persisted = latent::persisted(&lookup);
            let bench = Bench { policy: self.policy, role, contents, hardware: &hardware, persisted };
            let judged = self.differences(&bench, &rows, rows.len() - things);
            let open_rows = judged.iter().filter(|one| one.difference.status == Status::Open);
            open.extend(open_rows.map(|one| one.row.path.to_owned()));
            for latent in latent::latent_in(&bench, &lookup) {
                self.count(Status::Open, latent.severity);
                if self.is_wanted(Status::Open, latent.severity) {
                    self.findings.push(latent.finding(&bench));
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

    /// Judges the rows of a source, folds what has one cause, and keeps what is wanted.
    fn differences<'r, 'a>(
        &mut self,
        bench: &Bench<'_>,
        rows: &'r [Row<'a>],
        facts: usize,
    ) -> Vec<Judged<'r, 'a>> {
        let judge = |(at, row): (usize, &'r Row<'a>)| {
            let mut difference = bench.difference(row)?;
            let is_thing = at >= facts;
            if is_thing {
                bench.name_version(row, &mut difference);
            }
            Some(Judged { row, difference, is_thing, parts: Vec::new(), is_part: false })
        };
        let mut judged: Vec<Judged<'r, 'a>> = rows.iter().enumerate().filter_map(judge).collect();
        fold(bench, &mut judged);
        for one in judged.iter().filter(|one| !one.is_part) {
            let Difference { status, severity, .. } = &one.difference;
            self.count(*status, *severity);
            if self.is_wanted(*status, *severity) {
                let mut finding = bench.finding(one.row, &one.difference, one.is_thing);
                let part = |at: &usize| bench.part(judged[*at].row, &judged[*at].difference);
                finding.parts = one.parts.iter().map(part).collect();
                if !finding.parts.is_empty() {
                    finding.summary = with_parts(finding.summary, finding.parts.len());
                }
                self.findings.push(finding);
            }
        }
        judged
    }

    fn duplicates(&mut self, scope: &Scope<'_>) {
        for finding in duplicates(scope, self.policy) {
            self.count(finding.status, finding.severity);
            if self.is_wanted(finding.status, finding.severity) {
                self.findings.push(finding);
            }
        }
    }

    fn count(&mut self, status: Status, severity: Severity) {
        let count = match (status, severity) {
            (Status::Open, Severity::Critical) => &mut self.summary.critical,
            (Status::Open, Severity::Warning) => &mut self.summary.warning,
            (Status::Open, Severity::Info) => &mut self.summary.info,
            (Status::Explained, _) => &mut self.summary.explained,
            (Status::Accepted, _) => &mut self.summary.accepted,
            (Status::Resolved, _) => return,
        };
        *count += 1;
    }

    fn is_wanted(&self, status: Status, severity: Severity) -> bool {
        let severe = self.query.min_severity.is_none_or(|least| severity >= least);
        self.query.all || (status == Status::Open && severe)
    }
}

fn with_parts(summary: String, parts: usize) -> String {
    format!("{summary} (and {parts} more facts with it)")
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
