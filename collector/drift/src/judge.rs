//! From a spread to a finding: whether there is a difference, of which kind, and whether a rule explains it.

use std::cell::Cell;

use evenkeel_facts::Digest;
use jiff::Timestamp;
use roaring::RoaringBitmap;

use crate::acceptance::covering;
use crate::contents::Contents;
use crate::entity::ThingBecame;
use crate::fleet::Fleet;
use crate::formula;
use crate::hardware::Hardware;
use crate::latent::Persisted;
use crate::policy::{Class, Place, Policy, Rule, Verdict};
use crate::promotion::Promotion;
use crate::report::{Finding, Kind, Part, Quarantined, Severity, SignOff, Status};
use crate::rows::Row;
use crate::scope::Role;
use crate::since::{Became, FactBecame, Moments, disagreed, since};
use crate::spread::{Spread, What};
use crate::summary::{sentence, unwanted};

/// A difference, before anybody asks for its details.
pub(crate) struct Difference {
    pub(crate) spread: Spread,
    pub(crate) verdict: Verdict,
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
    pub(crate) status: Status,
    /// Why, if it is not the policy's rule for the path that says so.
    why: Option<String>,
    /// The promotion that is late.
    promotion: Option<Promotion>,
    /// The acceptance that covers it.
    pub(crate) acceptance: Option<SignOff>,
}

/// What everything about one source of one role is judged by.
pub(crate) struct Bench<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) policy: &'a Policy,
    pub(crate) role: &'a Role<'a>,
    pub(crate) contents: &'a Contents<'a>,
    pub(crate) hardware: &'a Hardware,
    /// The kernel parameters that some node sets in a file.
    pub(crate) persisted: Persisted<'a>,
    pub(crate) now: Timestamp,
    /// When the next thing happens by itself: lowered to each deadline that is waited for.
    pub(crate) until: &'a Cell<Timestamp>,
}

impl Bench<'_> {
    /// Whether the cohorts differ at this row; of a thing it is said in which version it is there.
    pub(crate) fn difference(&self, row: &Row<'_>, is_thing: bool) -> Option<Difference> {
        let path = row.path;
        let verdict = self.policy.verdict_at(path, &self.place());
        if !verdict.is_compared() {
            return None;
        }
        let mut spread = Spread::new(row, self.contents, self.role, verdict.compare);
        if self.policy.limited().by_environment {
            for (silent, cohort) in spread.silent.iter_mut().zip(&self.role.cohorts) {
                *silent = self.verdict_in(path, cohort.name).ignore;
            }
        }
        let kind = kind(&spread, self.role.cohorts.len())?;
        let severity = self.severity(path, &verdict);
        let mut difference = Difference {
            spread,
            verdict,
            kind,
            severity,
            status: Status::Open,
            why: None,
            promotion: None,
            acceptance: None,
        };
        if self.policy.limited().by_environment && !self.limit(path, &mut difference) {
            return None;
        }
        self.explain(path, &mut difference);
        // Before anybody asks whether it was signed off: what was signed says the version, too.
        if is_thing {
            self.name_version(row, &mut difference);
        }
        if difference.status == Status::Open && !self.fleet.acceptances.is_empty() {
            let (id, values) =
                (id_of(difference.kind, self.role.name, path), difference.spread.values(self.role));
            if let Some(acceptance) = covering(&self.fleet.acceptances, &id, path, &values, self.now) {
                difference.status = Status::Accepted;
                difference.why = Some(acceptance.sentence());
                difference.acceptance = Some(acceptance.sign_off());
            }
        }
        Some(difference)
    }

    /// Who is asked about when rules for all environments are.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { role: Some(self.role.name), ..Place::default() }
    }

    /// What the policy says of a path in one environment.
    pub(crate) fn verdict_in(&self, path: &str, environment: &str) -> Verdict {
        self.policy.verdict_at(path, &Place { environment: Some(environment), ..self.place() })
    }

    /// What the policy says of a path on one node.
    pub(crate) fn verdict_of(&self, path: &str, node: u32) -> Verdict {
        let node = self.role.node(node);
        let environment = Some(&*self.fleet.environments[node.environment]);
        let place = Place { environment, role: Some(self.role.name), node: Some(&node.name) };
        self.policy.verdict_at(path, &place)
    }

    /// Applies the rules that hold for some environments or nodes only: the worst of those that deviate counts.
    /// `false` when all that deviate are ignored.
    fn limit(&self, path: &str, difference: &mut Difference) -> bool {
        let deviating = (0..self.role.cohorts.len())
            .filter(|cohort| difference.spread.held(*cohort).any(|(at, _)| difference.deviates(*cohort, at)));
        let mut verdicts: Vec<Verdict> = if self.policy.limited().by_node {
            let nodes = difference.spread.nodes(self.contents, self.role, |c, o| difference.deviates(c, o));
            nodes.into_iter().map(|at| self.verdict_of(path, at)).collect()
        } else {
            deviating.map(|cohort| self.verdict_in(path, self.role.cohorts[cohort].name)).collect()
        };
        verdicts.retain(|verdict| !verdict.ignore);
        let worst = verdicts.iter().max_by_key(|verdict| self.severity(path, verdict));
        let Some(worst) = worst.copied() else { return false };
        difference.severity = self.severity(path, &worst);
        let hide = verdicts.iter().all(|verdict| verdict.hide);
        difference.verdict = worst;
        difference.verdict.hide = hide;
        true
    }

    /// Finds what makes it no alarm.
    fn explain(&self, path: &str, difference: &mut Difference) {
        let Difference { spread, verdict, kind, severity, status, why, promotion, acceptance: _ } =
            difference;
        let explained = match verdict.class {
            Class::DerivedRam => self.hardware.memory_explains(path, spread, self.contents),
            Class::DerivedCpu => self.hardware.processors_explain(path, spread, self.contents),
            Class::Module | Class::Interface => *kind == Kind::Missing || is_presence_only(spread),
            Class::Config | Class::Identity | Class::Volatile | Class::Latent => false,
        };
        if explained {
            *status = Status::Explained;
        } else if verdict.hide {
            *status = Status::Explained;
            *why = self.policy.silencing(verdict).map(|rule| rule.reason.clone());
        } else if let Some(source) = self.hardware.kernels_explain(path, spread, self.contents) {
            (*status, *severity) = (Status::Explained, Severity::Info);
            *why = Some(format!("Each node holds the default of its own kernel ({source})."));
        } else if let Some(noise) = self.fleet.quarantined.get(path)
            && *severity < Severity::Critical
        {
            *status = Status::Explained;
            let Quarantined { path: _, changes, nodes } = noise;
            *why = Some(format!(
                "It keeps changing by itself: {changes} times on {nodes} nodes within a day. It is in quarantine until it stops."
            ));
        } else if let Some(found) = crate::promotion::promotion(self, path, spread, verdict) {
            if self.now < found.deadline {
                self.until.set(self.until.get().min(found.deadline));
                *status = Status::Explained;
                let until = found.deadline.strftime("%Y-%m-%d %H:%M UTC");
                *why = Some(format!("A promotion is under way and has until {until}. {}", found.reason));
            } else {
                *kind = Kind::Lagging;
                *why = Some(found.reason.clone());
                *promotion = Some(found);
            }
        }
    }

    /// What a rule says; what somebody set in a file on purpose is worth a look although no rule names it.
    pub(crate) fn severity(&self, path: &str, verdict: &Verdict) -> Severity {
        let on_purpose = || path.strip_prefix("sysctl.").is_some_and(|key| self.persisted.contains_key(key));
        match verdict.severity {
            None if verdict.class == Class::Config && on_purpose() => Severity::Warning,
            severity => severity.unwrap_or(Severity::Info),
        }
    }

    /// The deviating nodes.
    pub(crate) fn nodes(&self, row: &Row<'_>, difference: &Difference) -> Vec<u32> {
        let deviates = |cohort: usize, outcome: usize| difference.deviates(cohort, outcome);
        let mut nodes = difference.spread.nodes(self.contents, self.role, deviates);
        if self.policy.limited().by_node {
            nodes.retain(|at| !self.verdict_of(row.path, *at).ignore);
        }
        nodes
    }

    /// The deviating nodes, and since when.
    pub(crate) fn extent(
        &self,
        row: &Row<'_>,
        difference: &Difference,
        is_thing: bool,
    ) -> (Vec<u32>, Option<Timestamp>) {
        let Difference { spread, kind, promotion, .. } = difference;
        let nodes = self.nodes(row, difference);
        if let Some(promotion) = promotion {
            return (nodes, Some(promotion.deadline));
        }
        let since = if is_thing {
            self.since(&ThingBecame::new(self.contents, self.role, row), spread, *kind, &nodes)
        } else {
            self.since(&FactBecame { role: self.role, path: row.path }, spread, *kind, &nodes)
        };
        (nodes, since)
    }

    /// Whether some node became what it is at this moment, having been something else before.
    pub(crate) fn changed_at(&self, row: &Row<'_>, is_thing: bool, moment: Timestamp) -> bool {
        let then = |moved: &RoaringBitmap, became: &dyn Fn(u32) -> Timestamp| {
            let mut nodes = self.role.cohorts.iter().flat_map(|cohort| moved & cohort.fresh());
            nodes.any(|at| self.role.node(at).since < moment && became(at) == moment)
        };
        if is_thing {
            let thing = ThingBecame::new(self.contents, self.role, row);
            then(&thing.moved(), &|at| thing.became(at))
        } else {
            let fact = FactBecame { role: self.role, path: row.path };
            then(&fact.moved(), &|at| fact.became(at))
        }
    }

    /// One sentence.
    pub(crate) fn summary(&self, difference: &Difference) -> String {
        let Difference { spread, kind, verdict, promotion, .. } = difference;
        let deviates = |cohort: usize, outcome: usize| difference.deviates(cohort, outcome);
        let Some(promotion) = promotion else {
            return sentence(spread, self.role, *kind, verdict.compare, deviates);
        };
        let count = |cohort, outcome| {
            if deviates(cohort, outcome) { spread.outcomes[outcome].counts[cohort] } else { 0 }
        };
        let late = |cohort| (0..spread.outcomes.len()).map(|outcome| count(cohort, outcome)).collect();
        let late: Vec<Vec<u32>> = (0..self.role.cohorts.len()).map(late).collect();
        let value = promotion.value.as_deref().unwrap_or("the change");
        let day = promotion.deadline.strftime("%Y-%m-%d");
        unwanted(spread, self.role, &late, &format!("{value} was to be everywhere by {day}"))
    }

    /// The version of a thing is what its nodes have.
    fn name_version(&self, row: &Row<'_>, difference: &mut Difference) {
        if let Some(version) = crate::entity::version(self.contents, row) {
            let there = difference.spread.outcomes.iter_mut().filter(|outcome| outcome.what == What::There);
            there.for_each(|outcome| outcome.shown = Some(version.to_owned()));
        }
    }

    /// The finding in full.
    pub(crate) fn finding(&self, row: &Row<'_>, difference: &Difference, is_thing: bool) -> Finding {
        let (nodes, since) = self.extent(row, difference, is_thing);
        let Difference { spread, verdict: _, kind, severity, status, why: _, promotion, acceptance } =
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
            nodes: self.role.list(nodes),
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
            reason: self.reason(row.path, difference),
            expected: promotion.as_ref().and_then(|promotion| promotion.value.clone()),
            parts: Vec::new(),
            acceptance: acceptance.clone(),
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
        if let Some(why) = &difference.why {
            return why.clone();
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
        deviating: &[u32],
    ) -> Option<Timestamp> {
        let moments = |cohort| Moments::new(spread, self.contents, self.role, became, cohort);
        if kind != Kind::Split
            && let Some(consensus) = spread.consensus(0)
        {
            return since(became, deviating, moments(0).agreed(consensus));
        }
        let cohorts = (0..self.role.cohorts.len()).filter(|cohort| spread.disagrees(*cohort));
        let disagree = cohorts.filter_map(|cohort| {
            let moments = moments(cohort);
            let readable = spread.held(cohort).filter(|(_, outcome)| outcome.what.is_readable());
            disagreed(readable.filter_map(|(at, _)| moments.first(at)))
        });
        // Whoever differs from both sides of a torn reference does since the first of them was there.
        let leading = if kind == Kind::Split { Vec::new() } else { spread.leading(0) };
        let foreign = deviating.iter().copied();
        let foreign =
            foreign.filter(|node| !leading.contains(&spread.outcome_of(self.contents.group_of(*node))));
        let foreign: Vec<u32> = if leading.is_empty() { Vec::new() } else { foreign.collect() };
        let torn = || {
            let moments = moments(0);
            leading.iter().filter_map(|outcome| moments.first(*outcome)).min()
        };
        let differ = if foreign.is_empty() { None } else { since(became, &foreign, torn()) };
        disagree.chain(differ).min()
    }
}

/// The kind of difference, if there is one. A cohort differs from the reference where nothing that leads in one of them leads
/// in the other: whichever half of those that are torn is right, the other is not that.
fn kind(spread: &Spread, cohorts: usize) -> Option<Kind> {
    let reference = spread.leading(0);
    let is_there = |outcome: &usize| spread.outcomes[*outcome].what != What::Absent;
    let mut missing = false;
    for cohort in 1..cohorts {
        let own = spread.leading(cohort);
        if own.is_empty() || reference.is_empty() || own.iter().any(|outcome| reference.contains(outcome)) {
            continue;
        }
        if reference.iter().any(is_there) && own.iter().any(is_there) {
            return Some(Kind::Differs);
        }
        missing = true;
    }
    if missing {
        return Some(Kind::Missing);
    }
    (0..cohorts).any(|cohort| spread.disagrees(cohort)).then_some(Kind::Split)
}

impl Difference {
    /// Whether it speaks of the nodes of a cohort that hold an outcome.
    pub(crate) fn deviates(&self, cohort: usize, outcome: usize) -> bool {
        let Self { spread, promotion, .. } = self;
        if !spread.outcomes[outcome].what.is_readable() || spread.silent[cohort] {
            return false;
        }
        if let Some(promotion) = promotion {
            return promotion.behind[cohort];
        }
        match spread.consensus(0) {
            Some(agreed) => agreed != outcome,
            None => spread.is_outlier(cohort, outcome) || self.is_foreign(outcome),
        }
    }

    /// Whether the reference is torn, and neither side of it holds this.
    fn is_foreign(&self, outcome: usize) -> bool {
        let leading = self.spread.leading(0);
        leading.len() > 1 && !leading.contains(&outcome)
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
