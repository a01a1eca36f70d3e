//! From a spread to a finding: whether there is a difference, of which kind, and whether a rule explains it.

use std::collections::BTreeSet;

use evenkeel_facts::Digest;
use jiff::Timestamp;

use crate::contents::Contents;
use crate::entity::ThingBecame;
use crate::formula;
use crate::hardware::Hardware;
use crate::policy::{Class, Policy, Rule, Verdict};
use crate::report::{Finding, Kind, Part, Severity, Status};
use crate::rows::Row;
use crate::scope::Role;
use crate::since::{Became, FactBecame, agreed, disagreed, since};
use crate::spread::{Spread, What};
use crate::summary::sentence;

/// A difference, before anybody asks for its details.
pub(crate) struct Difference {
    pub(crate) spread: Spread,
    pub(crate) verdict: Verdict,
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
    pub(crate) status: Status,
    /// Where the kernel says that both sides hold its default, if that is what explains it.
    kernel_default: Option<&'static str>,
    /// Index of the acceptance that covers it.
    pub(crate) acceptance: Option<usize>,
}

/// What everything about one source of one role is judged by.
pub(crate) struct Bench<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) role: &'a Role<'a>,
    pub(crate) contents: &'a Contents<'a>,
    pub(crate) hardware: &'a Hardware,
    /// The kernel parameters that some node sets in a file.
    pub(crate) persisted: BTreeSet<&'a str>,
}

impl Bench<'_> {
    /// Whether the cohorts differ at this row.
    pub(crate) fn difference(&self, row: &Row<'_>) -> Option<Difference> {
        let verdict = self.policy.verdict(row.path);
        if !verdict.class.is_compared() {
            return None;
        }
        let spread = Spread::new(row, self.contents, self.role, verdict.compare);
        let kind = kind(&spread, self.role.cohorts.len())?;
        let explained = match verdict.class {
            Class::DerivedRam => self.hardware.memory_explains(row.path, &spread, self.contents),
            Class::DerivedCpu => self.hardware.processors_explain(row.path, &spread, self.contents),
            Class::Module | Class::Interface => kind == Kind::Missing || is_presence_only(&spread),
            Class::Config | Class::Identity | Class::Volatile | Class::Latent => false,
        };
        let by_kernel = || self.hardware.kernels_explain(row.path, &spread, self.contents);
        let kernel_default = if explained { None } else { by_kernel() };
        let status = if explained || kernel_default.is_some() { Status::Explained } else { Status::Open };
        let acceptance = None;
        let severity = match kernel_default {
            Some(_) => Severity::Info,
            None => self.severity(row.path, &verdict),
        };
        Some(Difference { spread, verdict, kind, severity, status, kernel_default, acceptance })
    }

    /// What a rule says; what somebody set in a file on purpose is worth a look although no rule names it.
    pub(crate) fn severity(&self, path: &str, verdict: &Verdict) -> Severity {
        let on_purpose = || path.strip_prefix("sysctl.").is_some_and(|key| self.persisted.contains(key));
        match verdict.severity {
            None if verdict.class == Class::Config && on_purpose() => Severity::Warning,
            severity => severity.unwrap_or(Severity::Info),
        }
    }

    /// The deviating nodes (indices into `role.nodes`), and since when.
    pub(crate) fn extent(
        &self,
        row: &Row<'_>,
        difference: &Difference,
        is_thing: bool,
    ) -> (Vec<usize>, Option<Timestamp>) {
        let Difference { spread, kind, .. } = difference;
        let nodes = spread
            .nodes(self.contents, self.role, |cohort, outcome| deviates(spread, *kind, cohort, outcome));
        let since = if is_thing {
            self.since(&ThingBecame::new(self.contents, self.role, row), spread, *kind, &nodes)
        } else {
            self.since(&FactBecame { role: self.role, path: row.path }, spread, *kind, &nodes)
        };
        (nodes, since)
    }

    /// Whether some node became what it is at this moment, having been something else before.
    pub(crate) fn changed_at(&self, row: &Row<'_>, is_thing: bool, moment: Timestamp) -> bool {
        let then = |became: &dyn Fn(usize) -> Timestamp| {
            let mut nodes = self.role.nodes.iter().enumerate();
            nodes.any(|(at, node)| node.since < moment && became(at) == moment)
        };
        if is_thing {
            let thing = ThingBecame::new(self.contents, self.role, row);
            then(&|at| thing.became(at))
        } else {
            then(&|at| FactBecame { role: self.role, path: row.path }.became(at))
        }
    }

    /// One sentence.
    pub(crate) fn summary(&self, difference: &Difference) -> String {
        let Difference { spread, kind, verdict, .. } = difference;
        sentence(spread, self.role, *kind, verdict.compare, |cohort, outcome| {
            deviates(spread, *kind, cohort, outcome)
        })
    }

    /// The version of a thing is what its nodes have.
    pub(crate) fn name_version(&self, row: &Row<'_>, difference: &mut Difference) {
        if let Some(version) = crate::entity::version(self.contents, row) {
            let there = difference.spread.outcomes.iter_mut().filter(|outcome| outcome.what == What::There);
            there.for_each(|outcome| outcome.shown = Some(version.to_owned()));
        }
    }

    /// The finding in full.
    pub(crate) fn finding(&self, row: &Row<'_>, difference: &Difference, is_thing: bool) -> Finding {
        let (nodes, since) = self.extent(row, difference, is_thing);
        let Difference { spread, verdict: _, kind, severity, status, kernel_default: _, acceptance: _ } =
            difference;
        Finding {
            id: id_of(*kind, self.role.name, row.path),
            path: row.path.to_owned(),
            kind: *kind,
            severity: *severity,
            status: *status,
            role: self.role.name.to_owned(),
            values: spread.values(self.role),
            summary: self.summary(difference),
            nodes: self.role.names(nodes),
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
            reason: self.reason(row.path, difference),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    /// The difference as part of another finding.
    pub(crate) fn part(&self, row: &Row<'_>, difference: &Difference) -> Part {
        let Difference { kind, severity, .. } = difference;
        Part {
            id: id_of(*kind, self.role.name, row.path),
            path: row.path.to_owned(),
            kind: *kind,
            severity: *severity,
            summary: self.summary(difference),
        }
    }

    /// Why it is as bad as it is, or why it is explained, in the words of the rule that decided.
    fn reason(&self, path: &str, difference: &Difference) -> String {
        let [class, _, severity] = self.policy.deciding(&difference.verdict);
        let said = |rule: Option<&Rule>| rule.map(|rule| rule.reason.clone());
        if let Some(source) = difference.kernel_default {
            return format!("Each node holds the default of its own kernel ({source}).");
        }
        match (difference.status, difference.verdict.class) {
            (Status::Explained, Class::DerivedRam | Class::DerivedCpu) => {
                said(class).map(|why| match formula::of(path) {
                    Some(formula) => format!("{why} Here: {}.", formula.source),
                    None => why,
                })
            }
            (Status::Explained, _) => said(class),
            (_, Class::DerivedRam | Class::DerivedCpu) => said(class).map(|why| match formula::of(path) {
                Some(_) => format!("{why} Yet these values do not follow from it: somebody set one of them."),
                None => format!("{why} Yet it differs between machines of equal size."),
            }),
            (_, _) if difference.verdict.severity.is_none() && difference.severity == Severity::Warning => {
                Some(
                    "Somebody set it in a file of sysctl.d: on purpose, so a difference is worth a look."
                        .to_owned(),
                )
            }
            _ => said(severity),
        }
        .unwrap_or_default()
    }

    fn since(
        &self,
        became: &impl Became,
        spread: &Spread,
        kind: Kind,
        deviating: &[usize],
    ) -> Option<Timestamp> {
        let of = |cohort: usize, wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            spread.nodes(self.contents, self.role, |at, outcome| at == cohort && wanted(outcome))
        };
        let readable = |outcome: usize| spread.outcomes[outcome].what.is_readable();
        let agreed_in = |cohort: usize| {
            let consensus = spread.consensus(cohort)?;
            let holders = of(cohort, &|outcome| outcome == consensus);
            let others = of(cohort, &|outcome| outcome != consensus && readable(outcome));
            agreed(self.role, became, &holders, &others)
        };
        if kind != Kind::Split {
            return since(became, deviating, agreed_in(0));
        }
        let cohorts = (0..self.role.cohorts.len()).filter(|cohort| spread.disagrees(*cohort));
        let moments = cohorts.filter_map(|cohort| {
            let outcomes = spread.held(cohort).map(|(at, _)| at).filter(|at| readable(*at));
            let holders: Vec<Vec<usize>> = outcomes.map(|at| of(cohort, &|outcome| outcome == at)).collect();
            disagreed(became, &holders)
        });
        moments.min()
    }
}

/// The kind of difference, if there is one.
fn kind(spread: &Spread, cohorts: usize) -> Option<Kind> {
    let reference = spread.consensus(0);
    let mut missing = false;
    for cohort in 1..cohorts {
        let (Some(reference), Some(own)) = (reference, spread.consensus(cohort)) else { continue };
        if reference == own {
            continue;
        }
        if spread.outcomes[reference].what != What::Absent && spread.outcomes[own].what != What::Absent {
            return Some(Kind::Differs);
        }
        missing = true;
    }
    if missing {
        return Some(Kind::Missing);
    }
    (0..cohorts).any(|cohort| spread.disagrees(cohort)).then_some(Kind::Split)
}

/// Whether a finding of this kind speaks of the nodes of a cohort that hold an outcome.
fn deviates(spread: &Spread, kind: Kind, cohort: usize, outcome: usize) -> bool {
    if !spread.outcomes[outcome].what.is_readable() {
        return false;
    }
    match kind {
        Kind::Split => spread.disagrees(cohort) && spread.consensus(cohort) != Some(outcome),
        _ => spread.consensus(0) != Some(outcome),
    }
}

/// Whether all nodes that have it hold the same value.
fn is_presence_only(spread: &Spread) -> bool {
    spread.outcomes.iter().filter(|outcome| matches!(outcome.what, What::Present(_) | What::There)).count()
        <= 1
}

/// Stable for as long as there is a difference at the same path of the same role: it does not depend on values, nodes,
/// times, or which environments are asked about.
pub(crate) fn id_of(kind: Kind, role: &str, path: &str) -> String {
    let kind = match kind {
        // One fact differs in one way at a time: which of these it is called depends on who is asked about.
        Kind::Differs | Kind::Split | Kind::Missing => "difference",
        Kind::Violates => "violates",
        Kind::Latent => "latent",
        Kind::Duplicate => "duplicate",
        Kind::Lagging => "lagging",
    };
    let digest = Digest::of(format!("{kind}\0{role}\0{path}").as_bytes());
    let text = data_encoding::BASE32_NOPAD.encode(&digest.as_bytes()[..7]).to_ascii_lowercase();
    format!("f-{}", &text[..10])
}
