//! One fact over the cohorts of a role: which values there are, how many nodes hold each, what each cohort agrees on.

use std::collections::HashMap;

use crate::compare::Compare;
use crate::contents::Contents;
use crate::report::{State, ValueCount};
use crate::rows::{Look, Row};
use crate::scope::Role;

/// One fact over the cohorts of a role.
pub(crate) struct Spread {
    /// What the nodes say, each once.
    pub(crate) outcomes: Vec<Outcome>,
    /// The outcome of every group that is no exception.
    base: usize,
    /// By group, ascending.
    exceptions: Vec<(usize, usize)>,
}

/// One thing that nodes say of a fact.
pub(crate) struct Outcome {
    pub(crate) what: What,
    /// How it is shown: of the texts that mean the same, the first in order.
    pub(crate) shown: Option<String>,
    /// How many nodes of each cohort say so.
    pub(crate) counts: Vec<u32>,
}

/// What is said, so that equal things are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The value in canonical form.
    Present(String),
    /// A thing of which something is known.
    There,
    Absent,
    Unreadable,
    Inapplicable,
}

impl What {
    /// Whether it says something that can be held against another.
    pub(crate) fn is_readable(&self) -> bool {
        matches!(self, Self::Present(_) | Self::There | Self::Absent)
    }
}

impl Spread {
    /// Counts what the groups say.
    pub(crate) fn new(row: &Row<'_>, contents: &Contents<'_>, role: &Role<'_>, compare: Compare) -> Self {
        let mut tally =
            Tally { compare, cohorts: role.cohorts.len(), outcomes: Vec::new(), by_what: HashMap::new() };
        let base = tally.outcome(row.base);
        let mut exceptions = Vec::with_capacity(row.exceptions.len());
        let mut rest: Vec<u32> =
            role.cohorts.iter().map(|cohort| u32::try_from(cohort.fresh.len()).unwrap_or(u32::MAX)).collect();
        for (group, look) in &row.exceptions {
            let outcome = tally.outcome(*look);
            exceptions.push((*group, outcome));
            for (cohort, count) in contents.groups[*group].counts.iter().enumerate() {
                tally.outcomes[outcome].counts[cohort] += count;
                rest[cohort] -= count;
            }
        }
        for (count, rest) in tally.outcomes[base].counts.iter_mut().zip(rest) {
            *count += rest;
        }
        Self { outcomes: tally.outcomes, base, exceptions }
    }

    /// The outcome that strictly most readable nodes of a cohort hold; none when there is a tie or nothing readable.
    pub(crate) fn consensus(&self, cohort: usize) -> Option<usize> {
        let mut best: Option<(usize, u32)> = None;
        let mut tie = false;
        for (at, outcome) in self.held(cohort).filter(|(_, outcome)| outcome.what.is_readable()) {
            let count = outcome.counts[cohort];
            match best {
                Some((_, most)) if count < most => {}
                Some((_, most)) if count == most => tie = true,
                _ => (best, tie) = (Some((at, count)), false),
            }
        }
        best.filter(|_| !tie).map(|(at, _)| at)
    }

    /// The outcomes that some node of a cohort holds.
    pub(crate) fn held(&self, cohort: usize) -> impl Iterator<Item = (usize, &Outcome)> {
        self.outcomes.iter().enumerate().filter(move |(_, outcome)| outcome.counts[cohort] > 0)
    }

    /// Whether the readable nodes of a cohort disagree.
    pub(crate) fn disagrees(&self, cohort: usize) -> bool {
        self.held(cohort).filter(|(_, outcome)| outcome.what.is_readable()).nth(1).is_some()
    }

    /// What a group says.
    pub(crate) fn outcome_of(&self, group: usize) -> usize {
        self.exceptions
            .binary_search_by_key(&group, |(at, _)| *at)
            .map_or(self.base, |at| self.exceptions[at].1)
    }

    /// The nodes (indices into `role.nodes`) of whose cohort and outcome `wanted` says so, group by group.
    pub(crate) fn nodes(
        &self,
        contents: &Contents<'_>,
        role: &Role<'_>,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Vec<usize> {
        let cohorts: Vec<Vec<usize>> = (0..self.outcomes.len())
            .map(|outcome| (0..role.cohorts.len()).filter(|cohort| wanted(*cohort, outcome)).collect())
            .collect();
        let mut nodes = Vec::new();
        for (group, outcome) in self.groups(contents, !cohorts[self.base].is_empty()) {
            let group = &contents.groups[group];
            let own: Vec<_> = cohorts[outcome].iter().filter(|cohort| group.counts[**cohort] > 0).collect();
            if !own.is_empty() {
                let is_own = |node: &&usize| own.iter().any(|at| role.cohorts[**at].fresh.contains(node));
                nodes.extend(group.nodes.iter().filter(is_own));
            }
        }
        nodes
    }

    /// Groups with their outcomes, ascending: all of them, or the exceptions alone. Where nodes deviate from the most
    /// common content in facts of their own, there are as many groups as nodes, and few of them are exceptions here.
    fn groups(&self, contents: &Contents<'_>, all: bool) -> Vec<(usize, usize)> {
        if !all {
            return self.exceptions.clone();
        }
        let mut groups: Vec<_> = (0..contents.groups.len()).map(|group| (group, self.base)).collect();
        self.exceptions.iter().for_each(|(group, outcome)| groups[*group].1 = *outcome);
        groups
    }

    /// The values as the report shows them: cohort by cohort, the most frequent first.
    pub(crate) fn values(&self, role: &Role<'_>) -> Vec<ValueCount> {
        let mut values = Vec::new();
        for (at, cohort) in role.cohorts.iter().enumerate() {
            let mut of_cohort: Vec<(State, Option<&str>, u32)> = Vec::new();
            for (_, outcome) in self.held(at) {
                let (state, value) = match outcome.what {
                    What::Present(_) => (State::Present, outcome.shown.as_deref()),
                    What::There => (State::Present, outcome.shown.as_deref().or(Some("present"))),
                    What::Absent | What::Inapplicable => (State::Absent, None),
                    What::Unreadable => (State::Unreadable, None),
                };
                match of_cohort.iter_mut().find(|(seen, _, _)| *seen == state && state != State::Present) {
                    Some((_, _, count)) => *count += outcome.counts[at],
                    None => of_cohort.push((state, value, outcome.counts[at])),
                }
            }
            of_cohort.sort_unstable_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
            values.extend(of_cohort.into_iter().map(|(state, value, nodes)| ValueCount {
                environment: cohort.name.to_owned(),
                value: value.map(str::to_owned),
                state,
                nodes: nodes.into(),
            }));
        }
        values
    }
}

struct Tally {
    compare: Compare,
    cohorts: usize,
    outcomes: Vec<Outcome>,
    by_what: HashMap<What, usize>,
}

impl Tally {
    fn outcome(&mut self, look: Look<'_>) -> usize {
        let (what, shown) = match look {
            Look::Present(value) => match self.compare.canonical(value) {
                Some(canonical) => (What::Present(canonical.into_owned()), Some(value.to_string())),
                None => (What::Unreadable, None),
            },
            Look::There => (What::There, None),
            Look::Absent => (What::Absent, None),
            Look::Unreadable(_) => (What::Unreadable, None),
            Look::Inapplicable => (What::Inapplicable, None),
        };
        if let Some(at) = self.by_what.get(&what) {
            let outcome = &mut self.outcomes[*at];
            if shown < outcome.shown {
                outcome.shown = shown;
            }
            return *at;
        }
        let at = self.outcomes.len();
        self.outcomes.push(Outcome { what: what.clone(), shown, counts: vec![0; self.cohorts] });
        self.by_what.insert(what, at);
        at
    }
}
