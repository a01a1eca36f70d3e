//! One fact, node by node.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_drift::compare::Compare;
use evenkeel_drift::policy::Class;
use evenkeel_drift::report::{Finding, Kind, Severity, State, Status, ValueCount};
use evenkeel_drift::{Node, Policy};
use evenkeel_facts::{Digest, FactPath, Observation, Value};

use super::explained::{own_defaults, sized};
use super::times::Times;
use super::{Look, View};

/// What is compared: `Some` text in canonical form or absent; nothing for what cannot be told.
pub(crate) type What = Option<String>;

/// A node, its cohort, and what it says.
pub(crate) struct Said<'a> {
    pub(crate) node: &'a Node,
    cohort: usize,
    look: Look,
    pub(crate) what: Option<What>,
}

impl<'a> View<'a> {
    pub(crate) fn findings(&self, policy: &Policy) -> Vec<Finding> {
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
            self.finding(policy, path, &look, false)
        });
        let of_things =
            things.iter().map(|thing| self.finding(policy, thing, &|node| self.presence(node, thing), true));
        facts.chain(of_things).flatten().collect()
    }

    fn presence(&self, node: &'a Node, thing: &str) -> Look {
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

    fn finding(
        &self,
        policy: &Policy,
        path: &str,
        look: &dyn Fn(&'a Node) -> Look,
        is_thing: bool,
    ) -> Option<Finding> {
        let verdict = policy.verdict(path);
        if !verdict.class.is_compared() {
            return None;
        }
        let said = self.said(verdict.compare, look);
        let consensus: Vec<Option<What>> =
            (0..self.role.cohorts.len()).map(|cohort| consensus(&said, cohort)).collect();
        let disagrees = |cohort: usize| {
            said.iter()
                .filter(|s| s.cohort == cohort)
                .filter_map(|s| s.what.as_ref())
                .collect::<BTreeSet<_>>()
                .len()
                > 1
        };
        let others: Vec<&What> = consensus[1..]
            .iter()
            .flatten()
            .filter(|own| consensus[0].as_ref().is_some_and(|r| r != *own))
            .collect();
        let kind = if others.iter().any(|own| own.is_some() && consensus[0].as_ref().unwrap().is_some()) {
            Kind::Differs
        } else if !others.is_empty() {
            Kind::Missing
        } else if (0..consensus.len()).any(disagrees) {
            Kind::Split
        } else {
            return None;
        };
        let deviates = |s: &&Said<'a>| match (kind, &s.what) {
            (_, None) => false,
            (Kind::Split, Some(_)) => disagrees(s.cohort) && s.what != consensus[s.cohort],
            (_, Some(_)) => s.what != consensus[0],
        };
        let times = Times { path, thing: is_thing.then_some(self) };
        let moment = |cohort: usize| {
            let agreed = consensus[cohort].as_ref()?;
            let readable = said.iter().filter(|s| s.cohort == cohort && s.what.is_some());
            let (holders, rest): (Vec<&Said<'a>>, _) =
                readable.partition(|s| s.what.as_ref() == Some(agreed));
            let nodes = |list: Vec<&Said<'a>>| list.iter().map(|s| s.node).collect::<Vec<_>>();
            times.agreed(&nodes(holders), &nodes(rest))
        };
        let since = if kind == Kind::Split {
            let in_cohort = |cohort: usize| {
                let mut firsts: BTreeMap<&What, jiff::Timestamp> = BTreeMap::new();
                for s in said.iter().filter(|s| s.cohort == cohort && s.what.is_some()) {
                    let became = times.became(s.node);
                    let first = firsts.entry(s.what.as_ref().unwrap()).or_insert(became);
                    *first = became.min(*first);
                }
                let mut firsts: Vec<_> = firsts.into_values().collect();
                firsts.sort();
                firsts.get(1).copied()
            };
            (0..consensus.len()).filter_map(in_cohort).min().unwrap()
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
        let by_kernel = !explained && own_defaults(path, &said);
        let mut nodes: Vec<String> = said.iter().filter(deviates).map(|s| s.node.name.to_string()).collect();
        nodes.sort();
        Some(Finding {
            id: id("difference", &self.role.name, path),
            path: path.to_owned(),
            kind,
            severity: if by_kernel { Severity::Info } else { self.severity(path, policy) },
            status: if explained || by_kernel { Status::Explained } else { Status::Open },
            role: self.role.name.clone(),
            values: self.values(&said, is_thing.then(|| self.version(path)).flatten()),
            nodes,
            since,
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        })
    }

    /// As a rule says; a kernel parameter that somebody set in a file is at least a warning.
    pub(crate) fn severity(&self, path: &str, policy: &Policy) -> Severity {
        let verdict = policy.verdict(path);
        let persisted = path
            .strip_prefix("sysctl.")
            .is_some_and(|key| self.homes.contains_key(&format!("sysctl.persisted[{key}].value")));
        match verdict.severity {
            None if verdict.class == Class::Config && persisted => Severity::Warning,
            severity => severity.unwrap_or(Severity::Info),
        }
    }

    fn said(&self, compare: Compare, look: &dyn Fn(&'a Node) -> Look) -> Vec<Said<'a>> {
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

    fn values(&self, said: &[Said<'a>], version: Option<String>) -> Vec<ValueCount> {
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

/// What most nodes of a cohort say; of several the one that the reference (cohort 0) agrees on.
fn consensus(said: &[Said<'_>], cohort: usize) -> Option<What> {
    let mut counts: BTreeMap<&What, usize> = BTreeMap::new();
    for what in said.iter().filter(|s| s.cohort == cohort).filter_map(|s| s.what.as_ref()) {
        *counts.entry(what).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    let holding: Vec<What> =
        counts.into_iter().filter(|(_, count)| *count == most).map(|(what, _)| what.clone()).collect();
    match (holding.as_slice(), cohort) {
        ([only], _) => Some(only.clone()),
        (_, 0) => None,
        (several, _) => consensus(said, 0).filter(|agreed| several.contains(agreed)),
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
