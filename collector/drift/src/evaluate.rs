//! The one entry: a fleet, a policy and a query in, a report out.

use std::cell::Cell;
use std::collections::HashSet;

use jiff::Timestamp;

use crate::acceptance::sign;
use crate::clone::clones;
use crate::contents::contents;
use crate::coverage::{self, Coverage};
use crate::duplicate::duplicates;
use crate::entity;
use crate::fleet::Fleet;
use crate::fold::{Judged, fold};
use crate::hardware::Hardware;
use crate::judge::{Bench, Difference};
use crate::latent;
use crate::lead::{Whole, attach};
use crate::lookup::Lookup;
use crate::policy::{Place, Policy};
use crate::query::Query;
use crate::report::{
    Environment, Finding, Kind, MAX_UNKNOWNS, Noise, Quarantined, Report, SCHEMA, Severity, Status, Summary,
};
use crate::rows::{Row, rows};
use crate::scope::{Cohort, Role, Scope};
use crate::unknown::{Draft, Unknowns};
use crate::violation::violations;

/// Where the environments differ. Pure: the same fleet, policy, query and time give the same report, byte for byte,
/// whatever the order of the nodes.
///
/// Names in the query that the fleet does not have are environments without nodes: see [`Query::check`].
pub fn evaluate(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Report {
    evaluate_naming(fleet, policy, query, now, MAX_UNKNOWNS)
}

/// A report, and for how long nothing but the moment that it speaks of would be another.
#[derive(Debug, Clone, PartialEq)]
pub struct Lasting {
    /// The report.
    pub report: Report,
    /// From the report's moment until before this one the same fleet, policy and query give the same report, but for
    /// [`Report::as_of`]: then an acceptance expires, or the deadline of a promotion passes.
    pub until: Timestamp,
}

/// The same as [`evaluate`], for those who keep reports.
pub fn evaluate_lasting(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Lasting {
    let expiries = fleet.acceptances.iter().map(|acceptance| acceptance.until);
    let until = Cell::new(expiries.filter(|until| *until > now).min().unwrap_or(Timestamp::MAX));
    let telling = Telling { until, ..Telling::default() };
    let report = run(fleet, policy, query, now, &telling);
    Lasting { report, until: telling.until.get() }
}

/// The same, naming more unknowns (or fewer).
pub(crate) fn evaluate_naming(
    fleet: &Fleet,
    policy: &Policy,
    query: &Query,
    now: Timestamp,
    max_unknowns: usize,
) -> Report {
    run(fleet, policy, query, now, &Telling { max_unknowns, ..Telling::default() })
}

/// The same, without the findings that are left out: they are neither counted nor told as parts, and nothing is a part
/// of them.
pub(crate) fn evaluate_without(
    fleet: &Fleet,
    policy: &Policy,
    query: &Query,
    now: Timestamp,
    is_left_out: &dyn Fn(&Finding) -> bool,
) -> Report {
    run(fleet, policy, query, now, &Telling { is_left_out: Some(is_left_out), ..Telling::default() })
}

/// Every finding that is open now by itself: what a report folds into another is listed, too. For signing off: whoever
/// accepts a finding accepts its parts.
pub fn open_findings(fleet: &Fleet, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let query = Query { min_severity: Some(Severity::Info), ..Query::default() };
    let telling = Telling { max_unknowns: 0, folds: false, ..Telling::default() };
    run(fleet, policy, &query, now, &telling).findings
}

/// How a run tells what it finds.
struct Telling<'a> {
    /// When the next thing happens by itself: lowered to the deadlines that the run waits for.
    until: Cell<Timestamp>,
    /// How many unknowns are named.
    max_unknowns: usize,
    /// Whether what has one cause is one finding.
    folds: bool,
    /// What is not told at all, nor as a part.
    is_left_out: Option<&'a dyn Fn(&Finding) -> bool>,
}

impl Default for Telling<'_> {
    fn default() -> Self {
        Self { until: Cell::new(Timestamp::MAX), max_unknowns: MAX_UNKNOWNS, folds: true, is_left_out: None }
    }
}

fn run(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp, telling: &Telling<'_>) -> Report {
    let scope = Scope::new(fleet, query);
    let mut run = Run {
        telling,
        fleet,
        policy,
        query,
        now,
        findings: Vec::new(),
        unknowns: Vec::new(),
        summary: Summary::default(),
        coverage: vec![Coverage::default(); fleet.environments.len()],
    };
    for (at, role) in scope.roles.iter().enumerate() {
        run.role(at, role);
    }
    if fleet.unique {
        for mut finding in duplicates(&scope, policy).into_iter().chain(clones(&scope)) {
            sign(&mut finding, &fleet.acceptances, now);
            run.take(finding);
        }
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
            .then(a.stale_cohort().cmp(&b.stale_cohort()))
    });
    unknowns.truncate(telling.max_unknowns);
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
        noise: noise(fleet),
    }
}

/// What keeps changing by itself; nothing is said while nothing does.
fn noise(fleet: &Fleet) -> Option<Noise> {
    let quarantined: Vec<Quarantined> = fleet.quarantined.values().cloned().collect();
    let quarantined_changes = quarantined.iter().map(|one| one.changes).sum();
    (!quarantined.is_empty()).then_some(Noise { changes: fleet.changes, quarantined_changes, quarantined })
}

struct Run<'a> {
    fleet: &'a Fleet,
    policy: &'a Policy,
    query: &'a Query,
    now: Timestamp,
    telling: &'a Telling<'a>,
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
        let hardware = Hardware::new(&sources, role.size());
        let fresh: Vec<u64> = role.cohorts.iter().map(|cohort| cohort.size.into()).collect();
        let mut coverage = vec![Coverage::default(); role.cohorts.len()];
        let mut unknowns = Unknowns::default();
        let (mut open, mut seen) = (HashSet::new(), HashSet::new());
        for contents in &sources {
            let mut rows = rows(contents);
            let same = contents.by_gaps();
            coverage::count(contents, &same, &rows, &fresh, &mut coverage);
            unknowns.add(contents, &same, &rows, self.policy);
            let things = entity::roll_up(contents, &mut rows);
            let lookup = Lookup::new(contents, &rows);
            let persisted = latent::persisted(&lookup);
            let bench = Bench {
                fleet: self.fleet,
                policy: self.policy,
                role,
                contents,
                hardware: &hardware,
                persisted,
                now: self.now,
                until: &self.telling.until,
            };
            let mut whole =
                if self.policy.limited().expects { violations(&bench, &lookup) } else { Vec::new() };
            seen.extend(literal(self.policy).filter(|path| lookup.row(path).is_some()).map(str::to_owned));
            whole.extend(
                latent::latent_in(&bench, &lookup).into_iter().filter_map(|latent| latent.whole(&bench)),
            );
            // What somebody signed off takes no part in: what is news beside it is open.
            for Whole { finding, .. } in &mut whole {
                sign(finding, &self.fleet.acceptances, self.now);
            }
            let violated = whole.iter().map(|whole| &whole.finding);
            let violated = violated.filter(|one| one.kind == Kind::Violates && one.status == Status::Open);
            open.extend(violated.map(|finding| finding.path.clone()));
            open.extend(self.differences(&bench, &rows, rows.len() - things, &mut whole));
            for whole in whole {
                self.take(whole.finding);
            }
        }
        for path in literal(self.policy).filter(|path| !seen.contains(*path)) {
            let verdict = self.policy.verdict_at(path, &Place { role: Some(role.name), ..Place::default() });
            unknowns.nobody(path, verdict.severity().max(Severity::Warning), role);
        }
        for (cohort, count) in role.cohorts.iter().zip(coverage) {
            self.coverage[cohort.environment].add(count);
        }
        let stale = role.cohorts.iter().enumerate().filter(|(_, cohort)| cohort.size == 0);
        self.unknowns.extend(stale.map(|(cohort, _)| (at, Draft::stale(cohort))));
        self.unknowns.extend(unknowns.finish(&open).into_iter().map(|unknown| (at, unknown)));
    }

    /// Judges the rows of a source, folds what has one cause, and keeps what is wanted. Says which paths have an open
    /// difference, left out or not.
    fn differences(
        &mut self,
        bench: &Bench<'_>,
        rows: &[Row<'_>],
        facts: usize,
        whole: &mut Vec<Whole>,
    ) -> Vec<String> {
        let judge = |(at, row): (usize, &'_ Row<'_>)| {
            let is_thing = at >= facts;
            Some((at, bench.difference(row, is_thing)?, is_thing))
        };
        let judged = rows.iter().enumerate().filter_map(judge);
        let mut judged: Vec<Judged<'_, '_>> = judged
            .map(|(at, difference, is_thing)| Judged {
                row: &rows[at],
                difference,
                is_thing,
                parts: Vec::new(),
                is_part: false,
            })
            .collect();
        let open = judged.iter().filter(|one| one.difference.status == Status::Open);
        let open = open.map(|one| one.row.path.to_owned()).collect();
        if let Some(is_left_out) = self.telling.is_left_out {
            judged.retain(|one| !is_left_out(&bench.finding(one.row, &one.difference, one.is_thing)));
            whole.retain(|one| !is_left_out(&one.finding));
        }
        if self.telling.folds {
            attach(bench, &mut judged, whole);
            fold(bench, &mut judged);
        }
        for one in judged.iter().filter(|one| !one.is_part) {
            let Difference { status, severity, .. } = &one.difference;
            self.summary.count(*status, *severity);
            if self.is_wanted(*status, *severity) {
                let mut finding = bench.finding(one.row, &one.difference, one.is_thing);
                let part = |at: &usize| bench.part(judged[*at].row, &judged[*at].difference);
                finding.parts = one.parts.iter().map(part).collect();
                finding.parts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)));
                if !finding.parts.is_empty() {
                    finding.summary = with_parts(&finding.summary, finding.parts.len());
                }
                self.findings.push(finding);
            }
        }
        open
    }

    /// Takes in a finding that is whole: counts it, keeps it if it is wanted.
    fn take(&mut self, finding: Finding) {
        self.summary.count(finding.status, finding.severity);
        if self.is_wanted(finding.status, finding.severity) {
            self.findings.push(finding);
        }
    }

    fn is_wanted(&self, status: Status, severity: Severity) -> bool {
        let severe = self.query.min_severity.is_none_or(|least| severity >= least);
        self.query.all || (status == Status::Open && severe)
    }
}

/// The paths of which the policy expects something without a pattern.
fn literal(policy: &Policy) -> impl Iterator<Item = &str> {
    policy.expecting().filter(|rule| rule.path.is_literal()).map(|rule| rule.path.as_str())
}

fn with_parts(summary: &str, parts: usize) -> String {
    let facts = if parts == 1 { "fact" } else { "facts" };
    format!("{summary} (and {parts} more {facts} with it)")
}

fn environment(scope: &Scope<'_>, at: usize, coverage: Coverage) -> Environment {
    let cohorts =
        || scope.roles.iter().flat_map(|role| &role.cohorts).filter(move |cohort| cohort.environment == at);
    let fresh: u64 = cohorts().map(|cohort| u64::from(cohort.size)).sum();
    let stale = cohorts().flat_map(Cohort::stale);
    let mut stale_nodes: Vec<String> = stale.map(|at| scope.fleet.nodes.at(at).name.to_string()).collect();
    stale_nodes.sort_unstable();
    Environment {
        name: scope.fleet.environments[at].to_string(),
        nodes: fresh + stale_nodes.len() as u64,
        fresh,
        stale: stale_nodes.len() as u64,
        stale_nodes,
        coverage: coverage.share(),
    }
}
