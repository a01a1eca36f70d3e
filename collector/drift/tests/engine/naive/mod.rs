//! The same engine, obviously correct and slow: every node is asked for every path.

mod duplicate;
mod expected;
mod explained;
mod fact;
mod fold;
mod latent;
mod rules;
mod signed;
mod times;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::report::{
    Environment, Finding, Kind, Noise, Quarantined, Report, SCHEMA, Severity, Status, Summary, Unknown,
};
use evenkeel_drift::{Fleet, Node, Policy, Query};
use evenkeel_facts::{FactPath, Observation, Reason, Section, Value};
use jiff::Timestamp;
use rules::Who;

/// What a node says of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Look {
    Present(Value),
    There,
    Absent,
    Unreadable(Reason),
    Inapplicable,
}

/// The cohorts of a role, the reference first: the name of the environment and its fresh nodes.
pub(crate) struct Role<'a> {
    pub(crate) name: String,
    pub(crate) cohorts: Vec<(String, Vec<&'a Node>)>,
}

impl<'a> Role<'a> {
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'a Node> {
        self.cohorts.iter().flat_map(|(_, nodes)| nodes.iter().copied())
    }
}

/// The report, but for the sentences and the reasons in its findings.
pub(crate) fn report(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Report {
    let asked_role = |node: &&Node| query.role.as_ref().is_none_or(|role| *node.role == **role);
    let nodes: Vec<&Node> = fleet.nodes.iter().map(|node| &**node).filter(asked_role).collect();
    let populated = |at: usize| nodes.iter().any(|node| node.environment == at);
    let last = fleet.environments.len() - 1;
    let reference = match &query.reference {
        Some(name) => fleet.environments.iter().position(|known| **known == **name).unwrap(),
        None => (0..=last).rev().find(|at| populated(*at)).unwrap_or(last),
    };
    let asked = |at: usize| {
        at == reference
            || query
                .environments
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| **name == *fleet.environments[at]))
    };
    let environments: Vec<usize> = (0..=last).filter(|at| asked(*at)).collect();
    let nodes: Vec<&Node> = nodes.into_iter().filter(|node| asked(node.environment)).collect();

    let mut findings = Vec::new();
    let mut unknowns = Vec::new();
    let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for name in nodes.iter().map(|node| node.role.to_string()).collect::<BTreeSet<_>>() {
        let of = |at: usize| {
            nodes
                .iter()
                .copied()
                .filter(|node| node.environment == at && *node.role == *name)
                .collect::<Vec<&Node>>()
        };
        let mut order: Vec<usize> = (0..=last).rev().filter(|at| !of(*at).is_empty()).collect();
        if order.contains(&reference) {
            order.retain(|at| *at != reference);
            order.insert(0, reference);
        }
        let mut role = Role { name: name.clone(), cohorts: Vec::new() };
        for at in order {
            let (fresh, stale): (Vec<&Node>, Vec<&Node>) = of(at).into_iter().partition(|node| node.fresh);
            if fresh.is_empty() {
                unknowns.push(unknown("*", Severity::Critical, &name, "stale", &stale));
            }
            role.cohorts.push((fleet.environments[at].to_string(), fresh));
        }
        let sources = role
            .nodes()
            .flat_map(|node| node.sections.iter().map(|section| source_of(section.source()).to_owned()));
        let mut doubts: BTreeMap<String, Doubt> = BTreeMap::new();
        let mut of_role: Vec<Finding> = Vec::new();
        let mut known: BTreeSet<String> = BTreeSet::new();
        for source in sources.filter(|source| source != "identity").collect::<BTreeSet<_>>() {
            let view = View::new(&role, &source);
            view.coverage(&mut totals);
            view.doubts(policy, &mut doubts);
            known.extend(view.homes.keys().cloned());
            let judge = Judge { fleet, policy, now };
            let mut whole = [view.violations(policy), view.latent(policy)].concat();
            for finding in &mut whole {
                signed::sign(finding, fleet, now);
            }
            let (whole, findings) = fold::beside(&view, policy, whole, view.findings(&judge));
            of_role.extend(fold::folded(&role, &view, findings));
            of_role.extend(whole);
        }
        unsaid(policy, &role, &known, &mut doubts);
        unknowns.extend(doubtful(&role, doubts, &of_role));
        findings.extend(of_role);
    }
    if fleet.unique {
        let fresh: Vec<&Node> = nodes.iter().copied().filter(|node| node.fresh).collect();
        let mut duplicates = duplicate::duplicates(fleet, policy, &fresh);
        for finding in &mut duplicates {
            signed::sign(finding, fleet, now);
        }
        findings.extend(duplicates);
    }

    let summary = summary(&findings, unknowns.len());
    let shown = |finding: &Finding| {
        query.all
            || (finding.status == Status::Open
                && query.min_severity.is_none_or(|least| finding.severity >= least))
    };
    findings.retain(shown);
    findings.sort_by_key(|f| {
        (std::cmp::Reverse(f.severity), f.path.clone(), f.role.clone(), f.kind, f.id.clone())
    });
    unknowns.sort_by_key(|u| (std::cmp::Reverse(u.severity), u.path.clone(), u.role.clone()));
    Report {
        schema: SCHEMA.to_owned(),
        as_of: now,
        journal: fleet.journal,
        policy: policy.label(),
        reference: fleet.environments[reference].to_string(),
        environments: environments.iter().map(|at| environment(fleet, *at, &nodes, &totals)).collect(),
        findings,
        unknowns,
        summary,
        noise: noise(fleet),
    }
}

/// What is expected of a path that nobody says anything of.
fn unsaid(policy: &Policy, role: &Role<'_>, known: &BTreeSet<String>, doubts: &mut BTreeMap<String, Doubt>) {
    let literal = policy.rules().iter().filter(|rule| rule.expect.is_some() && rule.path.is_literal());
    for path in literal.map(|rule| rule.path.as_str()).filter(|path| !known.contains(*path)) {
        let said = rules::said(policy, path, Who { role: Some(&role.name), ..Who::default() });
        let doubt = doubts.entry(path.to_owned()).or_default();
        doubt.severity = doubt.severity.max(said.severity).max(Some(Severity::Warning));
        let all = role.nodes().map(|node| node.id.to_string());
        doubt.by_reason.entry("not_collected".to_owned()).or_default().extend(all);
    }
}

/// What cannot be told, but for what an open finding speaks of.
fn doubtful(role: &Role<'_>, doubts: BTreeMap<String, Doubt>, findings: &[Finding]) -> Vec<Unknown> {
    let mut unknowns = Vec::new();
    for (path, doubt) in doubts {
        let open = findings.iter().any(|f: &Finding| {
            let own = f.path == path && f.kind != Kind::Latent;
            f.status == Status::Open && (own || f.parts.iter().any(|part| part.path == path))
        });
        if let Some(severity) = doubt.severity
            && !open
        {
            let most = doubt.by_reason.values().map(BTreeSet::len).max().unwrap();
            let reason = doubt.by_reason.iter().find(|(_, nodes)| nodes.len() == most).unwrap().0;
            let ids: BTreeSet<&str> = doubt.by_reason.values().flatten().map(String::as_str).collect();
            let nodes: Vec<&Node> = role.nodes().filter(|node| ids.contains(&*node.id)).collect();
            unknowns.push(unknown(&path, severity, &role.name, reason, &nodes));
        }
    }
    unknowns
}

fn noise(fleet: &Fleet) -> Option<Noise> {
    let quarantined: Vec<Quarantined> = fleet.quarantined.values().cloned().collect();
    if quarantined.is_empty() {
        return None;
    }
    let quarantined_changes = quarantined.iter().map(|one| one.changes).sum();
    Some(Noise { changes: fleet.changes, quarantined_changes, quarantined })
}

/// What differences are judged by.
pub(crate) struct Judge<'j> {
    pub(crate) fleet: &'j Fleet,
    pub(crate) policy: &'j Policy,
    pub(crate) now: Timestamp,
}

fn summary(findings: &[Finding], unknowns: usize) -> Summary {
    let mut summary = Summary { unknown: unknowns as u64, ..Summary::default() };
    for finding in findings {
        match (finding.status, finding.severity) {
            (Status::Explained, _) => summary.explained += 1,
            (Status::Accepted, _) => summary.accepted += 1,
            (_, Severity::Critical) => summary.critical += 1,
            (_, Severity::Warning) => summary.warning += 1,
            (_, Severity::Info) => summary.info += 1,
        }
    }
    summary
}

fn environment(
    fleet: &Fleet,
    at: usize,
    nodes: &[&Node],
    totals: &BTreeMap<String, (u64, u64)>,
) -> Environment {
    let name = fleet.environments[at].to_string();
    let (fresh, stale): (Vec<&Node>, Vec<&Node>) =
        nodes.iter().filter(|node| node.environment == at).partition(|node| node.fresh);
    let mut stale_nodes: Vec<String> = stale.iter().map(|node| node.name.to_string()).collect();
    stale_nodes.sort();
    let (all, unreadable) = totals.get(&name).copied().unwrap_or_default();
    let thousandths = (1000 * (all - unreadable)).checked_div(all).unwrap_or(1000);
    Environment {
        name,
        nodes: (fresh.len() + stale.len()) as u64,
        fresh: fresh.len() as u64,
        stale: stale.len() as u64,
        stale_nodes,
        coverage: f64::from(u32::try_from(thousandths).unwrap()) / 1000.0,
    }
}

fn unknown(path: &str, severity: Severity, role: &str, reason: &str, nodes: &[&Node]) -> Unknown {
    let nodes: BTreeSet<String> = nodes.iter().map(|node| node.name.to_string()).collect();
    Unknown {
        path: path.into(),
        severity,
        role: role.into(),
        reason: reason.into(),
        nodes: nodes.into_iter().collect(),
    }
}

/// How bad a difference at a path is for everybody.
fn severity_of(policy: &Policy, path: &str) -> Severity {
    rules::said(policy, path, Who::default()).severity.unwrap_or(Severity::Info)
}

#[derive(Default)]
pub(crate) struct Doubt {
    severity: Option<Severity>,
    by_reason: BTreeMap<String, BTreeSet<String>>,
}

/// What sysctl.d sets is looked at together with what runs.
fn source_of(name: &str) -> &str {
    if name == "sysctl_persisted" { "sysctl" } else { name }
}

/// One source among the fresh nodes of a role.
pub(crate) struct View<'a> {
    pub(crate) role: &'a Role<'a>,
    pub(crate) source: String,
    /// Every path noted by some node, with the sections that note it.
    pub(crate) homes: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> View<'a> {
    fn new(role: &'a Role<'a>, source: &str) -> Self {
        let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for section in role
            .nodes()
            .flat_map(|node| &node.sections)
            .filter(|section| source_of(section.source()) == source)
        {
            for (path, _) in section.facts() {
                homes.entry(path.to_string()).or_default().insert(section.name().to_owned());
            }
        }
        Self { role, source: source.to_owned(), homes }
    }

    /// What the node's sections of this source note.
    pub(crate) fn noted(&self, node: &'a Node) -> impl Iterator<Item = (&'a FactPath, &'a Observation)> {
        let own = node.sections.iter().filter(|section| source_of(section.source()) == self.source);
        own.flat_map(|section| section.facts().iter().map(|(path, seen)| (path, seen)))
    }

    /// What a node means by noting nothing of a path.
    pub(crate) fn unsaid(&self, node: &'a Node, path: &str, homes: &BTreeSet<String>) -> Look {
        let above = self.noted(node).filter(|(at, _)| at.as_str() != path && at.covers(path));
        let unreadable = above.filter_map(|(at, seen)| match seen {
            Observation::Unreadable(reason) => Some((at.as_str().len(), *reason)),
            _ => None,
        });
        if let Some((_, reason)) = unreadable.min_by_key(|(length, _)| *length) {
            return Look::Unreadable(reason);
        }
        let has = |name: &str| node.sections.iter().any(|section| section.name() == name);
        if has(&self.source) || homes.iter().any(|home| has(home)) {
            Look::Absent
        } else {
            Look::Unreadable(Reason::NotCollected)
        }
    }

    pub(crate) fn look(&self, node: &'a Node, path: &str) -> Look {
        match self.noted(node).find(|(at, _)| at.as_str() == path) {
            Some((_, Observation::Present(value))) => Look::Present(value.clone()),
            Some((_, Observation::Absent)) => Look::Absent,
            Some((_, Observation::Unreadable(reason))) => Look::Unreadable(*reason),
            None => self.unsaid(node, path, &self.homes[path]),
        }
    }

    /// Whether some node could read the path.
    pub(crate) fn is_readable(&self, path: &str) -> bool {
        let mut seen =
            self.role.nodes().flat_map(|node| self.noted(node)).filter(|(at, _)| at.as_str() == path);
        seen.any(|(_, seen)| !matches!(seen, Observation::Unreadable(_)))
    }

    /// Whether some node could read something at or below a path, and not all nodes note the same there in the same section.
    fn is_told_apart(&self, above: &FactPath) -> bool {
        let noted = |node: &'a Node, path: &str| {
            let seen = |section: &'a Section| Some((section.name(), section.find(path)?.clone()));
            let own = node.sections.iter().filter(|section| source_of(section.source()) == self.source);
            own.map(|section| &**section).find_map(seen)
        };
        self.homes.keys().filter(|path| above.covers(path) && self.is_readable(path)).any(|path| {
            let mut nodes = self.role.nodes().map(|node| noted(node, path));
            let first = nodes.next().unwrap();
            nodes.any(|other| other != first)
        })
    }

    fn coverage(&self, totals: &mut BTreeMap<String, (u64, u64)>) {
        let covers = |above: &str, path: &str| above != path && FactPath::known(above).covers(path);
        let counts = |path: &str| {
            self.is_readable(path)
                || !self.homes.keys().any(|other| covers(path, other) && self.is_readable(other))
        };
        for path in self.homes.keys().filter(|path| counts(path)) {
            for (environment, nodes) in &self.role.cohorts {
                let (all, unreadable) = totals.entry(environment.clone()).or_default();
                *all += nodes.len() as u64;
                let lost = nodes.iter().filter(|node| matches!(self.look(node, path), Look::Unreadable(_)));
                *unreadable += lost.count() as u64;
            }
        }
    }

    fn doubts(&self, policy: &Policy, doubts: &mut BTreeMap<String, Doubt>) {
        let mut add = |path: &str, severity: Severity, reason: &str, node: &Node| {
            let doubt = doubts.entry(path.to_owned()).or_default();
            doubt.severity = doubt.severity.max(Some(severity));
            doubt.by_reason.entry(reason.to_owned()).or_default().insert(node.id.to_string());
        };
        for node in self.role.nodes() {
            for (path, seen) in self.noted(node) {
                let verdict = rules::said(policy, path.as_str(), Who::default());
                match seen {
                    _ if !verdict.is_compared() => {}
                    Observation::Unreadable(Reason::Partial) => {
                        // As bad as the worst that others have below it and this node may have.
                        let hidden = self.homes.keys().filter(|below| {
                            path.covers(below)
                                && self.is_readable(below)
                                && rules::said(policy, below, Who::default()).is_compared()
                                && self.look(node, below) == Look::Unreadable(Reason::Partial)
                        });
                        let worst = hidden.map(|below| severity_of(policy, below)).max();
                        add(path.as_str(), worst.unwrap_or(Severity::Info), "partial", node);
                    }
                    // Nobody here says anything else: nobody has it.
                    Observation::Unreadable(Reason::Unsupported) if !self.is_told_apart(path) => {
                        add(path.as_str(), Severity::Info, "unsupported", node);
                    }
                    Observation::Unreadable(reason) => {
                        let leaf = self.is_readable(path.as_str());
                        let severity = if leaf {
                            severity_of(policy, path.as_str())
                        } else {
                            policy.worst_below(path.as_str())
                        };
                        add(path.as_str(), severity, reason.as_str(), node);
                    }
                    Observation::Present(value) if verdict.compare.canonical(value).is_none() => {
                        add(path.as_str(), severity_of(policy, path.as_str()), "unversioned", node);
                    }
                    _ => {}
                }
            }
        }
        // What some nodes do not send at all, by section and first name.
        let mut gaps: BTreeMap<(String, String), Vec<(String, &Node)>> = BTreeMap::new();
        for (path, homes) in self.homes.iter().filter(|(path, _)| self.is_readable(path)) {
            let head = path.split(['.', '[']).next().unwrap().to_owned();
            for node in self
                .role
                .nodes()
                .filter(|node| self.look(node, path) == Look::Unreadable(Reason::NotCollected))
            {
                if rules::said(policy, path, Who::default()).is_compared() {
                    gaps.entry((homes.first().unwrap().clone(), head.clone()))
                        .or_default()
                        .push((path.clone(), node));
                }
            }
        }
        for gap in gaps.into_values() {
            let severity = gap.iter().map(|(path, _)| severity_of(policy, path)).max().unwrap();
            let above = (1..=gap[0].0.len()).rev().filter_map(|at| FactPath::new(gap[0].0.get(..at)?).ok());
            let common =
                above.into_iter().find(|above| gap.iter().all(|(path, _)| above.covers(path))).unwrap();
            for (_, node) in &gap {
                add(common.as_str(), severity, "not_collected", node);
            }
        }
    }
}
