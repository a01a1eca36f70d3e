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
    /// The cohorts of which the policy looks away here: they agree on nothing and disagree on nothing.
    pub(crate) silent: Vec<bool>,
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
    /// Counts what the groups say of a fact.
    pub(crate) fn new(row: &Row<'_>, contents: &Contents<'_>, role: &Role<'_>, compare: Compare) -> Self {
        let exceptions = row.exceptions.iter().map(|(group, look)| (*group, Said::new(*look, compare)));
        Self::of(Said::new(row.base, compare), exceptions, contents, role)
    }

    /// Counts what the groups say: the base, and by group, ascending, what is said otherwise.
    pub(crate) fn of(
        base: Said,
        said: impl IntoIterator<Item = (usize, Said)>,
        contents: &Contents<'_>,
        role: &Role<'_>,
    ) -> Self {
        let mut tally = Tally { cohorts: role.cohorts.len(), outcomes: Vec::new(), by_what: HashMap::new() };
        let base = tally.outcome(base);
        let mut exceptions = Vec::new();
        let mut rest: Vec<u32> = role.cohorts.iter().map(|cohort| cohort.size).collect();
        for (group, said) in said {
            let outcome = tally.outcome(said);
            exceptions.push((group, outcome));
            for (cohort, places) in contents.parts(group) {
                tally.outcomes[outcome].counts[cohort] += places.len();
                rest[cohort] -= places.len();
            }
        }
        for (count, rest) in tally.outcomes[base].counts.iter_mut().zip(rest) {
            *count += rest;
        }
        let silent = vec![false; role.cohorts.len()];
        Self { outcomes: tally.outcomes, base, exceptions, silent }
    }

    /// The outcomes that most readable nodes of a cohort hold: one, or several that are held equally often. None: nothing is
    /// readable, or the policy looks away.
    pub(crate) fn leading(&self, cohort: usize) -> Vec<usize> {
        if self.silent[cohort] {
            return Vec::new();
        }
        let readable = || self.held(cohort).filter(|(_, outcome)| outcome.what.is_readable());
        let most = readable().map(|(_, outcome)| outcome.counts[cohort]).max();
        readable().filter(|(_, outcome)| Some(outcome.counts[cohort]) == most).map(|(at, _)| at).collect()
    }

    /// What a cohort agrees on: what leads in it. Of several that lead the one that the reference agrees on; none when it
    /// agrees on none of them.
    pub(crate) fn consensus(&self, cohort: usize) -> Option<usize> {
        match self.leading(cohort)[..] {
            [] => None,
            [one] => Some(one),
            _ if cohort == 0 => None,
            ref several => self.consensus(0).filter(|agreed| several.contains(agreed)),
        }
    }

    /// The outcomes that some node of a cohort holds.
    pub(crate) fn held(&self, cohort: usize) -> impl Iterator<Item = (usize, &Outcome)> {
        self.outcomes.iter().enumerate().filter(move |(_, outcome)| outcome.counts[cohort] > 0)
    }

    /// Whether the readable nodes of a cohort disagree.
    pub(crate) fn disagrees(&self, cohort: usize) -> bool {
        !self.silent[cohort]
            && self.held(cohort).filter(|(_, outcome)| outcome.what.is_readable()).nth(1).is_some()
    }

    /// Whether a cohort disagrees, and on something else than this.
    pub(crate) fn is_outlier(&self, cohort: usize, outcome: usize) -> bool {
        self.disagrees(cohort) && self.consensus(cohort) != Some(outcome)
    }

    /// What a group says.
    pub(crate) fn outcome_of(&self, group: usize) -> usize {
        self.exceptions
            .binary_search_by_key(&group, |(at, _)| *at)
            .map_or(self.base, |at| self.exceptions[at].1)
    }

    /// The nodes of whose cohort and outcome `wanted` says so, group by group.
    pub(crate) fn nodes(
        &self,
        contents: &Contents<'_>,
        role: &Role<'_>,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Vec<u32> {
        let is_base_wanted = (0..role.cohorts.len()).any(|cohort| wanted(cohort, self.base));
        let mut nodes = Vec::new();
        for (group, outcome) in self.groups(contents, is_base_wanted) {
            for (_, places) in contents.parts(group).filter(|(cohort, _)| wanted(*cohort, outcome)) {
                nodes.extend(places.iter());
            }
        }
        nodes
    }

    /// The outcome of every group that is no exception.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Every other group and its outcome.
    pub(crate) fn exceptions(&self) -> &[(usize, usize)] {
        &self.exceptions
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

    /// Counts these nodes alone.
    pub(crate) fn recount(&mut self, contents: &Contents<'_>, role: &Role<'_>, nodes: &[u32]) {
        self.outcomes.iter_mut().for_each(|outcome| outcome.counts.fill(0));
        for &node in nodes {
            if let Some(cohort) = role.cohort(role.node(node).environment) {
                let outcome = self.outcome_of(contents.group_of(node));
                self.outcomes[outcome].counts[cohort] += 1;
            }
        }
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

/// What one group says of a fact, and how that is shown.
pub(crate) struct Said {
    pub(crate) what: What,
    pub(crate) shown: Option<String>,
}

impl Said {
    fn new(look: Look<'_>, compare: Compare) -> Self {
        let (what, shown) = match look {
            Look::Present(value) => match compare.canonical(value) {
                Some(canonical) => (What::Present(canonical.into_owned()), Some(value.to_string())),
                None => (What::Unreadable, None),
            },
            Look::There => (What::There, None),
            Look::Absent => (What::Absent, None),
            Look::Unreadable(_) => (What::Unreadable, None),
            Look::Inapplicable => (What::Inapplicable, None),
        };
        Self { what, shown }
    }
}

struct Tally {
    cohorts: usize,
    outcomes: Vec<Outcome>,
    by_what: HashMap<What, usize>,
}

impl Tally {
    fn outcome(&mut self, Said { what, shown }: Said) -> usize {
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
