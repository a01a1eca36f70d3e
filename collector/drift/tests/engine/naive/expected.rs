//! What is expected, node by node; and what was promoted, cohort by cohort.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use evenkeel_drift::Policy;
use evenkeel_drift::compare::Compare;
use evenkeel_drift::report::{Finding, Kind, Severity, Status};
use evenkeel_facts::FactPath;
use jiff::{SignedDuration, Timestamp};

use super::fact::{Said, What, id};
use super::rules::{self, Who};
use super::times::Times;
use super::{Look, View};

/// A change that has to reach everybody.
pub(crate) struct Promotion {
    pub(crate) deadline: Timestamp,
    /// The cohorts that do not have it.
    pub(crate) behind: BTreeSet<usize>,
    /// As it is shown; `None`: it is to be gone.
    pub(crate) value: Option<String>,
}

impl<'a> View<'a> {
    /// Of every path that some rule expects something of: the nodes that hold something else.
    pub(crate) fn violations(&self, policy: &Policy) -> Vec<Finding> {
        let is_expected = |path: &&String| {
            policy.rules().iter().any(|rule| rule.expect.is_some() && rule.path.matches(path))
        };
        self.homes.keys().filter(is_expected).filter_map(|path| self.violation(policy, path)).collect()
    }

    fn violation(&self, policy: &Policy, path: &str) -> Option<Finding> {
        let role = Some(self.role.name.as_str());
        let compare = rules::said(policy, path, Who { role, ..Who::default() }).compare;
        let said = self.said(compare, &|node| self.of_its_thing(node, path));
        let mut nodes = Vec::new();
        let mut expected = BTreeSet::new();
        let mut worst: Option<Severity> = None;
        for one in &said {
            let environment = Some(self.role.cohorts[one.cohort].0.as_str());
            let says = rules::said(policy, path, Who { environment, role, node: Some(&one.node.name) });
            let Some((expectation, said_by)) = says.expect.filter(|_| !says.ignore) else { continue };
            let is_met = match (&one.look, &one.what) {
                (Look::Present(_), Some(Some(value))) => expectation.value.is_met(value, says.compare),
                (Look::Absent, _) => expectation.or_absent,
                _ => true,
            };
            if !is_met {
                let severity = says.severity.unwrap_or(Severity::Info).max(Severity::Warning);
                worst = worst.max(Some(said_by.severity.unwrap_or(severity)));
                expected.insert(expectation.value.to_string());
                nodes.push(one.node);
            }
        }
        let times = Times { path, thing: None };
        let mut names: Vec<String> = nodes.iter().map(|node| node.name.to_string()).collect();
        names.sort();
        Some(Finding {
            id: id("violates", &self.role.name, path),
            path: path.to_owned(),
            kind: Kind::Violates,
            severity: worst?,
            status: Status::Open,
            role: self.role.name.clone(),
            values: self.values(&said, None),
            since: nodes.iter().map(|node| times.became(node)).min().unwrap(),
            nodes: names.into(),
            summary: String::new(),
            reason: String::new(),
            expected: Some(expected.into_iter().collect::<Vec<_>>().join(" or ")),
            parts: Vec::new(),
            acceptance: None,
        })
    }

    /// What a node says of a fact; of a thing that it does not have there is nothing to say.
    pub(crate) fn of_its_thing(&self, node: &'a evenkeel_drift::Node, path: &str) -> Look {
        let thing = FactPath::known(path).entity().map(str::to_owned);
        // Where nobody has it, that it is missing is what there is to say.
        let is_known =
            |thing: &String| self.role.nodes().any(|node| self.presence(node, thing) != Look::Absent);
        match thing.filter(|thing| self.is_thing(thing) && is_known(thing)) {
            Some(thing) if self.presence(node, &thing) == Look::Absent => Look::Inapplicable,
            _ => self.look(node, path),
        }
    }
}

/// The promotion that all of a difference is, if it is one. `order`: where a cohort's environment stands.
pub(crate) fn promotion(
    path: &str,
    said: &[Said<'_>],
    consensus: &[Option<What>],
    (compare, within): (Compare, SignedDuration),
    order: &dyn Fn(usize) -> usize,
) -> Option<Promotion> {
    let known: Vec<usize> = (0..consensus.len())
        .filter(|cohort| said.iter().any(|one| one.cohort == *cohort && one.what.is_some()))
        .collect();
    // Everybody within a cohort says the same.
    for cohort in &known {
        let all: BTreeSet<&What> =
            said.iter().filter(|one| one.cohort == *cohort).filter_map(|one| one.what.as_ref()).collect();
        if all.len() > 1 {
            return None;
        }
    }
    let first = known.iter().copied().min_by_key(|cohort| order(*cohort))?;
    let new = consensus[first].clone()?;
    let times = Times { path, thing: None };
    let holding = |cohort: usize| {
        let own = consensus[cohort].clone();
        said.iter()
            .filter(|one| one.cohort == cohort && one.what == own)
            .map(|one| one.node)
            .collect::<Vec<_>>()
    };
    let came = times.agreed(&holding(first), &[])?;
    let mut behind = BTreeSet::new();
    for cohort in known {
        let own = consensus[cohort].clone()?;
        if own == new {
            continue;
        }
        let newer = match (&own, &new) {
            (Some(own), Some(new)) => compare.order(own, new),
            _ => None,
        };
        let is_older = match newer {
            Some(order) => order == Ordering::Less,
            None => times.agreed(&holding(cohort), &[])? < came,
        };
        if !is_older {
            return None;
        }
        behind.insert(cohort);
    }
    if !holding(first).iter().any(|node| times.became(node) > node.since) {
        return None;
    }
    let shown = said.iter().filter(|one| one.what.as_ref() == Some(&new)).filter_map(|one| match &one.look {
        Look::Present(value) => Some(value.to_string()),
        _ => None,
    });
    Some(Promotion { deadline: came.saturating_add(within).ok()?, behind, value: shown.min() })
}
