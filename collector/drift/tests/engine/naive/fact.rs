//! One fact, node by node.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_drift::Node;
use evenkeel_drift::compare::Compare;
use evenkeel_drift::policy::Class;
use evenkeel_drift::report::{Finding, Kind, Severity, State, Status, ValueCount};
use evenkeel_facts::{Digest, FactPath, Observation, Value};

use super::expected::promotion;
use super::explained::{own_defaults, sized};
use super::rules::{self, Who};
use super::times::Times;
use super::{Judge, Look, View, signed};

/// What is compared: `Some` text in canonical form or absent; nothing for what cannot be told.
pub(crate) type What = Option<String>;

/// A node, its cohort, and what it says.
pub(crate) struct Said<'a> {
    pub(crate) node: &'a Node,
    pub(crate) cohort: usize,
    pub(crate) look: Look,
    pub(crate) what: Option<What>,
}

impl<'a> View<'a> {
    pub(crate) fn findings(&self, judge: &Judge<'_>) -> Vec<Finding> {
        let things: BTreeSet<String> = self
            .homes
            .keys()
            .filter_map(|path| FactPath::known(path).entity().map(str::to_owned))
            .filter(|thing| !self.homes.contains_key(thing) || !self.is_readable(thing))
            .collect();
        let facts = self.homes.keys().filter(|path| !things.contains(*path)).map(|path| {
            let thing =
                FactPath::known(path).entity().map(str::to_owned).filter(|thing| things.contains(thing));
            let look = |node: &'a Node| match &thing {
                Some(thing) if self.presence(node, thing) == Look::Absent => Look::Inapplicable,
                _ => self.look(node, path),
            };
            self.finding(judge, path, &look, false)
        });
        let of_things =
            things.iter().map(|thing| self.finding(judge, thing, &|node| self.presence(node, thing), true));
        facts.chain(of_things).flatten().collect()
    }

    pub(crate) fn presence(&self, node: &'a Node, thing: &str) -> Look {
        let path = FactPath::known(thing);
        let own: Vec<&Observation> =
            self.noted(node).filter(|(at, _)| path.covers(at.as_str())).map(|(_, seen)| seen).collect();
        if own.iter().any(|seen| matches!(seen, Observation::Present(_))) {
            return Look::There;
        }
        if let Some(Observation::Unreadable(reason)) =
            own.iter().find(|seen| matches!(seen, Observation::Unreadable(_)))
        {
            return Look::Unreadable(*reason);
        }
        let below = self.homes.iter().filter(|(at, _)| path.covers(at));
        self.unsaid(node, thing, &below.flat_map(|(_, homes)| homes.clone()).collect())
    }

    fn version(&self, thing: &str) -> Option<String> {
        let path = format!("{thing}.version");
        let having = self.role.nodes().filter(|node| self.presence(node, thing) == Look::There);
        let versions: BTreeSet<Option<String>> = having
            .map(|node| match self.noted(node).find(|(at, _)| at.as_str() == path) {
                Some((_, Observation::Present(Value::Text(text)))) if text != "(devel)" => Some(text.clone()),
                _ => None,
            })
            .collect();
        if versions.len() == 1 { versions.into_iter().next().unwrap() } else { None }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one fact from its nodes to its finding, to be read from top to bottom"
    )]
    fn finding(
        &self,
        judge: &Judge<'_>,
        path: &str,
        look: &dyn Fn(&'a Node) -> Look,
        is_thing: bool,
    ) -> Option<Finding> {
        let Judge { fleet, policy, now } = judge;
        let role = Some(self.role.name.as_str());
        let verdict = rules::said(policy, path, Who { role, ..Who::default() });
        if !verdict.is_compared() {
            return None;
        }
        // Of an environment that a rule ignores here nothing is said.
        let is_silent = |cohort: usize| {
            let environment = Some(self.role.cohorts[cohort].0.as_str());
            rules::said(policy, path, Who { environment, role, node: None }).ignore
        };
        let said = self.said(verdict.compare, look);
        let consensus: Vec<Option<What>> =
            (0..self.role.cohorts.len()).map(|cohort| consensus(&said, cohort, &is_silent)).collect();
        let disagrees = |cohort: usize| {
            !is_silent(cohort)
                && said
                    .iter()
                    .filter(|s| s.cohort == cohort)
                    .filter_map(|s| s.what.as_ref())
                    .collect::<BTreeSet<_>>()
                    .len()
                    > 1
        };
        let leading: Vec<BTreeSet<What>> =
            (0..self.role.cohorts.len()).map(|cohort| leading(&said, cohort, &is_silent)).collect();
        let others: Vec<&BTreeSet<What>> = leading[1..]
            .iter()
            .filter(|own| !own.is_empty() && !leading[0].is_empty() && own.is_disjoint(&leading[0]))
            .collect();
        let is_there = |leading: &BTreeSet<What>| leading.iter().any(Option::is_some);
        let kind = if others.iter().any(|own| is_there(own) && is_there(&leading[0])) {
            Kind::Differs
        } else if !others.is_empty() {
            Kind::Missing
        } else if (0..consensus.len()).any(disagrees) {
            Kind::Split
        } else {
            return None;
        };
        let is_outlier = |s: &Said<'a>| disagrees(s.cohort) && s.what != consensus[s.cohort];
        let is_torn = leading[0].len() > 1;
        let is_foreign = |s: &Said<'a>| is_torn && !leading[0].contains(s.what.as_ref().unwrap());
        let differs = |s: &&Said<'a>| match (kind, &s.what) {
            (_, None) => false,
            _ if is_silent(s.cohort) => false,
            (Kind::Split, Some(_)) => is_outlier(s),
            (_, Some(_)) if is_torn => is_outlier(s) || is_foreign(s),
            (_, Some(_)) => s.what != consensus[0],
        };
        // The rules that hold for each of them; whom they ignore is left out, and the worst counts.
        let rules_of = |s: &Said<'a>| {
            let environment = Some(self.role.cohorts[s.cohort].0.as_str());
            rules::said(policy, path, Who { environment, role, node: Some(&s.node.name) })
        };
        let concerned: Vec<rules::Said<'_>> =
            said.iter().filter(differs).map(rules_of).filter(|rules| !rules.ignore).collect();
        let severity = concerned.iter().map(|rules| self.severity(path, rules)).max()?;
        let hidden = concerned.iter().all(|rules| rules.hide);
        let deviates = |s: &&Said<'a>| differs(s) && !rules_of(s).ignore;
        let times = Times { path, thing: is_thing.then_some(self) };
        let moment = |cohort: usize| {
            let agreed = consensus[cohort].as_ref()?;
            let readable = said.iter().filter(|s| s.cohort == cohort && s.what.is_some());
            let (holders, rest): (Vec<&Said<'a>>, _) =
                readable.partition(|s| s.what.as_ref() == Some(agreed));
            let nodes = |list: Vec<&Said<'a>>| list.iter().map(|s| s.node).collect::<Vec<_>>();
            times.agreed(&nodes(holders), &nodes(rest))
        };
        // By what is held in a cohort: when the first of its nodes took it up.
        let firsts = |cohort: usize| {
            let mut firsts: BTreeMap<&What, jiff::Timestamp> = BTreeMap::new();
            for s in said.iter().filter(|s| s.cohort == cohort && s.what.is_some()) {
                let became = times.became(s.node);
                let first = firsts.entry(s.what.as_ref().unwrap()).or_insert(became);
                *first = became.min(*first);
            }
            firsts
        };
        let since = if kind == Kind::Split || is_torn {
            let in_cohort = |cohort: usize| {
                let mut firsts: Vec<_> = firsts(cohort).into_values().collect();
                firsts.sort();
                firsts.get(1).copied()
            };
            let torn = (0..consensus.len()).filter(|cohort| disagrees(*cohort)).filter_map(in_cohort);
            let of_reference = firsts(0).into_iter().filter(|(what, _)| leading[0].contains(*what));
            let came = of_reference.map(|(_, first)| first).min();
            let foreign = said.iter().filter(|s| kind != Kind::Split && deviates(s) && is_foreign(s));
            torn.chain(foreign.map(|s| times.became(s.node).max(came.unwrap()))).min().unwrap()
        } else {
            said.iter().filter(deviates).map(|s| times.became(s.node).max(moment(0).unwrap())).min().unwrap()
        };
        let presence_only =
            said.iter().filter_map(|s| s.what.clone().flatten()).collect::<BTreeSet<_>>().len() <= 1;
        let explained = match verdict.class {
            Class::DerivedRam => sized(path, &said, "hardware.memory.bytes"),
            Class::DerivedCpu => sized(path, &said, "hardware.cpu.count"),
            Class::Module | Class::Interface => kind == Kind::Missing || presence_only,
            _ => false,
        };
        let explained = explained || hidden;
        let by_kernel = !explained && own_defaults(path, &said);
        let noisy = fleet.quarantined.contains_key(path) && severity < Severity::Critical;
        let settled = explained || by_kernel || noisy;
        let order = |cohort: usize| {
            fleet.environments.iter().position(|name| **name == *self.role.cohorts[cohort].0).unwrap()
        };
        let promoted = verdict
            .promote_within
            .filter(|_| !settled)
            .and_then(|within| promotion(path, &said, &consensus, (verdict.compare, within), &order));
        let under_way = promoted.as_ref().is_some_and(|found| *now < found.deadline);
        let late = promoted.filter(|_| !under_way);
        let is_late = |s: &&Said<'a>| match &late {
            Some(late) => {
                s.what.is_some()
                    && !is_silent(s.cohort)
                    && late.behind.contains(&s.cohort)
                    && !rules_of(s).ignore
            }
            None => deviates(s),
        };
        let mut nodes: Vec<String> = said.iter().filter(is_late).map(|s| s.node.name.to_string()).collect();
        nodes.sort();
        let (since, kind, what) = match &late {
            Some(late) => (late.deadline, Kind::Lagging, "lagging"),
            None => (since, kind, "difference"),
        };
        let mut finding = Finding {
            id: id(what, &self.role.name, path),
            path: path.to_owned(),
            kind,
            severity: if by_kernel { Severity::Info } else { severity },
            status: if settled || under_way { Status::Explained } else { Status::Open },
            role: self.role.name.clone(),
            values: self.values(&said, is_thing.then(|| self.version(path)).flatten()),
            nodes: nodes.into(),
            since,
            summary: String::new(),
            reason: String::new(),
            expected: late.and_then(|late| late.value),
            parts: Vec::new(),
            acceptance: None,
        };
        signed::sign(&mut finding, fleet, *now);
        Some(finding)
    }

    /// As a rule says; a kernel parameter that somebody set in a file is at least a warning.
    pub(crate) fn severity(&self, path: &str, rules: &rules::Said<'_>) -> Severity {
        let persisted = path
            .strip_prefix("sysctl.")
            .is_some_and(|key| self.homes.contains_key(&format!("sysctl.persisted[{key}].value")));
        match rules.severity {
            None if rules.class == Class::Config && persisted => Severity::Warning,
            severity => severity.unwrap_or(Severity::Info),
        }
    }

    pub(crate) fn said(&self, compare: Compare, look: &dyn Fn(&'a Node) -> Look) -> Vec<Said<'a>> {
        let mut said: Vec<Said<'a>> = Vec::new();
        for (cohort, (_, nodes)) in self.role.cohorts.iter().enumerate() {
            for node in nodes {
                let look = look(node);
                let what = match &look {
                    Look::Present(value) => compare.canonical(value).map(|text| Some(text.into_owned())),
                    Look::There => Some(Some(String::new())),
                    Look::Absent => Some(None),
                    Look::Unreadable(_) | Look::Inapplicable => None,
                };
                said.push(Said { node, cohort, look, what });
            }
        }
        said
    }

    pub(crate) fn values(&self, said: &[Said<'a>], version: Option<String>) -> Vec<ValueCount> {
        // Of the texts that mean the same, the first in order.
        let mut shown: HashMap<&What, String> = HashMap::new();
        for s in said {
            if let (Some(what), Look::Present(value)) = (&s.what, &s.look) {
                let text = shown.entry(what).or_insert_with(|| value.to_string());
                *text = value.to_string().min(text.clone());
            }
        }
        let mut values = Vec::new();
        for (at, (environment, _)) in self.role.cohorts.iter().enumerate() {
            let mut counts: BTreeMap<(State, Option<String>), u64> = BTreeMap::new();
            for s in said.iter().filter(|s| s.cohort == at) {
                let key = match (&s.look, &s.what) {
                    (Look::There, _) => {
                        (State::Present, Some(version.clone().unwrap_or_else(|| "present".to_owned())))
                    }
                    (Look::Present(_), Some(what)) => (State::Present, Some(shown[what].clone())),
                    (Look::Absent | Look::Inapplicable, _) => (State::Absent, None),
                    (Look::Present(_) | Look::Unreadable(_), _) => (State::Unreadable, None),
                };
                *counts.entry(key).or_default() += 1;
            }
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            values.extend(counts.into_iter().map(|((state, value), nodes)| ValueCount {
                environment: environment.clone(),
                value,
                state,
                nodes,
            }));
        }
        values
    }
}

/// What most nodes of a cohort say.
fn leading(said: &[Said<'_>], cohort: usize, is_silent: &dyn Fn(usize) -> bool) -> BTreeSet<What> {
    let mut counts: BTreeMap<&What, usize> = BTreeMap::new();
    for what in said.iter().filter(|s| s.cohort == cohort).filter_map(|s| s.what.as_ref()) {
        *counts.entry(what).or_default() += 1;
    }
    let most = counts.values().copied().max().filter(|_| !is_silent(cohort));
    counts.into_iter().filter(|(_, count)| Some(*count) == most).map(|(what, _)| what.clone()).collect()
}

/// The one thing that they say; of several the one that the reference (cohort 0) agrees on.
fn consensus(said: &[Said<'_>], cohort: usize, is_silent: &dyn Fn(usize) -> bool) -> Option<What> {
    let leading = leading(said, cohort, is_silent);
    match (leading.len(), cohort) {
        (1, _) => leading.into_iter().next(),
        (_, 0) => None,
        _ => consensus(said, 0, is_silent).filter(|agreed| leading.contains(agreed)),
    }
}

/// Of what a finding is made: `difference`, `latent`, `duplicate`.
pub(crate) fn id(what: &str, role: &str, path: &str) -> String {
    let digest = Digest::of(format!("{what}\0{role}\0{path}").as_bytes());
    // Base 32 by hand: five bits a letter.
    let bits: Vec<u8> =
        digest.as_bytes().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let letter = |five: &[u8]| {
        b"abcdefghijklmnopqrstuvwxyz234567"[five.iter().fold(0, |n, bit| n * 2 + usize::from(*bit))] as char
    };
    format!("f-{}", bits.chunks(5).take(10).map(letter).collect::<String>())
}
