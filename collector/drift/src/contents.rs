//! The distinct contents of one source among the nodes of a role, and where they deviate from the most common one.
//!
//! Cost follows distinct contents: the fleet keeps nodes in groups by the addresses of their sections, each distinct
//! section is opened once, and what equals the base (the content that most nodes have) is never listed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{FactPath, Observation, Reason, Section};
use roaring::RoaringBitmap;

use crate::nodes::{Deviation, Deviations, Gaps, Members, OfGroup, OfSource, Set, count};
use crate::scope::Role;

/// Nodes that say exactly the same of one source.
pub(crate) struct Group<'a> {
    /// What they say: sections by name; none when they do not have the source.
    pub(crate) sections: &'a [Arc<Section>],
    /// Who they are: also nodes of environments that were not asked for.
    members: Cow<'a, Members>,
    /// How many of them were asked for.
    pub(crate) size: u32,
    /// Every path that could not be read.
    pub(crate) unreadable: &'a [(FactPath, Reason)],
    /// What cannot be told: the same allocation where it is the same.
    pub(crate) gaps: &'a Gaps,
    /// The facts that it notes otherwise than the base, where they are known.
    pub(crate) deviations: Option<&'a [Deviation]>,
    /// Whether it may mean something else than the base where both note nothing.
    pub(crate) is_odd: bool,
}

/// One source among the nodes of a role: the base first.
pub(crate) struct Contents<'a> {
    pub(crate) source: &'a str,
    pub(crate) groups: Vec<Group<'a>>,
    role: &'a Role<'a>,
    /// The group of each node that is not of the base; made when it is asked for.
    odd: OnceCell<HashMap<u32, usize>>,
}

/// Groups that cannot tell the same.
pub(crate) struct Same<'a> {
    /// What they cannot tell.
    pub(crate) gaps: &'a Gaps,
    /// Which they are, ascending.
    pub(crate) groups: Vec<usize>,
    /// Their nodes.
    pub(crate) nodes: RoaringBitmap,
}

/// The nodes of a role by what they say, source by source, sources by name.
pub(crate) fn contents<'a>(role: &'a Role<'a>) -> Vec<Contents<'a>> {
    role.of.sources.iter().filter_map(|(name, source)| Contents::new(role, name, source)).collect()
}

impl<'a> Contents<'a> {
    /// `None` when nobody who was asked for has the source.
    fn new(role: &'a Role<'a>, name: &'a str, source: &'a OfSource) -> Option<Self> {
        let mut groups = Vec::new();
        let mut kept_base = None;
        let mut rest: Vec<u32> = role.cohorts.iter().map(|cohort| cohort.size).collect();
        for (group, is_base) in source.groups() {
            let mut size = 0;
            for (environment, places) in group.members.parts() {
                if let Some(cohort) = role.cohort(environment) {
                    size += places.len();
                    rest[cohort] -= places.len();
                }
            }
            if size > 0 {
                if is_base {
                    kept_base = Some(groups.len());
                }
                groups.push(Group::new(group, size));
            }
        }
        if groups.is_empty() {
            return None;
        }
        if rest.iter().any(|rest| *rest > 0) {
            groups.push(without(role, source));
        }
        let largest = || (0..groups.len()).max_by_key(|at| groups[*at].size);
        let base = kept_base.or_else(largest).unwrap_or(0);
        groups.swap(0, base);
        if let Some((base, others)) = groups.split_first_mut() {
            for group in others {
                if kept_base.is_none() || group.sections.is_empty() {
                    (group.deviations, group.is_odd) = (None, is_odd(base, group));
                }
            }
        }
        Some(Self { source: name, groups, role, odd: OnceCell::new() })
    }

    /// The nodes of a group, by cohort.
    pub(crate) fn parts(&self, group: usize) -> impl Iterator<Item = (usize, Cow<'_, Set>)> {
        let parts = self.groups[group].members.parts();
        parts.filter_map(|(environment, places)| Some((self.role.cohort(environment)?, places)))
    }

    /// What cannot be told, each once, that of the base first.
    pub(crate) fn by_gaps(&self) -> Vec<Same<'a>> {
        let mut places: HashMap<*const Gaps, usize> = HashMap::new();
        let mut by_gaps: Vec<Same<'a>> = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            let place = *places.entry(std::ptr::from_ref(group.gaps)).or_insert_with(|| {
                by_gaps.push(Same { gaps: group.gaps, groups: Vec::new(), nodes: RoaringBitmap::new() });
                by_gaps.len() - 1
            });
            by_gaps[place].groups.push(at);
            // Who has the gaps of the base is who is none of the others.
            if place > 0 {
                self.parts(at).for_each(|(_, nodes)| nodes.add_to(&mut by_gaps[place].nodes));
            }
        }
        if let Some((Same { nodes, .. }, others)) = by_gaps.split_first_mut() {
            self.role.cohorts.iter().for_each(|cohort| *nodes |= cohort.fresh());
            for other in others {
                *nodes -= &other.nodes;
            }
        }
        by_gaps
    }

    /// The group of a node.
    pub(crate) fn group_of(&self, place: u32) -> usize {
        let odd = self.odd.get_or_init(|| {
            let mut odd = HashMap::new();
            for group in 1..self.groups.len() {
                for (_, places) in self.parts(group) {
                    odd.extend(places.iter().map(|place| (place, group)));
                }
            }
            odd
        });
        odd.get(&place).copied().unwrap_or(0)
    }
}

/// The nodes that do not have the source.
fn without<'a>(role: &Role<'_>, source: &OfSource) -> Group<'a> {
    let mut having = RoaringBitmap::new();
    for (_, places) in source.groups().flat_map(|(group, _)| group.members.parts()) {
        places.add_to(&mut having);
    }
    let mut cohorts: Vec<_> = role.cohorts.iter().collect();
    cohorts.sort_unstable_by_key(|cohort| cohort.environment);
    let rest = cohorts.into_iter().filter_map(|cohort| {
        let rest = cohort.fresh() - &having;
        (!rest.is_empty()).then_some((cohort.environment, rest))
    });
    let rest: Vec<_> = rest.collect();
    let size = rest.iter().map(|(_, rest)| count(rest)).sum();
    Group {
        sections: &[],
        members: Cow::Owned(Members::of(rest)),
        size,
        unreadable: &[],
        gaps: &NONE,
        deviations: None,
        is_odd: true,
    }
}

/// What is missing where nothing is said at all: nobody tried.
static NONE: Gaps = Gaps { unreadable: Vec::new(), unversioned: Vec::new() };

/// Whether a group that notes nothing of a path, like the base, may yet mean something else by it.
fn is_odd(base: &Group<'_>, group: &Group<'_>) -> bool {
    let names = |group: &Group<'_>| {
        group.sections.iter().map(|section| section.name().to_owned()).collect::<Vec<_>>()
    };
    base.unreadable != group.unreadable || names(base) != names(group)
}

impl<'a> Group<'a> {
    fn new(group: &'a OfGroup, size: u32) -> Self {
        let Deviations { facts, same_names, same_gaps, gaps } = &group.deviations;
        Self {
            sections: group.sections(),
            members: Cow::Borrowed(&group.members),
            size,
            unreadable: &gaps.unreadable,
            gaps,
            deviations: Some(facts),
            is_odd: !same_names || !same_gaps,
        }
    }

    /// What the group notes of a path; `None` when it notes nothing.
    pub(crate) fn find(&self, path: &str) -> Option<&'a Observation> {
        self.sections.iter().find_map(|section| section.find(path))
    }

    /// Whether it has a section of this name.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|own| own.name() == section)
    }
}
