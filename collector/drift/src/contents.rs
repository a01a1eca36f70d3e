//! The distinct contents of one source among the nodes of a role, and where they deviate from the most common one.
//!
//! Cost follows distinct contents: nodes are sorted into groups by the addresses of their sections, each distinct
//! section is opened once, and what equals the base (the content that most nodes have) is never listed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use evenkeel_facts::{Observation, Reason, Section};

use crate::scope::Role;

/// Nodes that say exactly the same of one source.
pub(crate) struct Group<'a> {
    /// What they say: sections by name; none when they do not have the source.
    pub(crate) sections: Vec<&'a Section>,
    /// Ascending indices into [`Role::nodes`].
    pub(crate) nodes: Vec<usize>,
    /// How many of them each cohort has.
    pub(crate) counts: Vec<u32>,
    /// Every path that could not be read.
    pub(crate) unreadable: Vec<(&'a str, Reason)>,
}

/// One source among the nodes of a role: the base first.
pub(crate) struct Contents<'a> {
    pub(crate) source: &'a str,
    pub(crate) groups: Vec<Group<'a>>,
}

/// The one section that is unique on every host by contract (DESIGN §2): it is never opened to compare.
const IDENTITY: &str = "identity";

/// The source that this one is looked at together with: what sysctl.d sets is held against what runs, node by node.
pub(crate) fn family(source: &str) -> &str {
    if source == "sysctl_persisted" { "sysctl" } else { source }
}

/// The nodes of a role by what they say, source by source, sources by name.
pub(crate) fn contents<'a>(role: &Role<'a>) -> Vec<Contents<'a>> {
    let mut sorter = Sorter::default();
    for (cohort, fresh) in role.cohorts.iter().map(|cohort| cohort.fresh.clone()).enumerate() {
        for node in fresh {
            sorter.take(&role.nodes[node].sections, node, cohort);
        }
    }
    sorter.finish(role)
}

/// One source only, by its [`family`]: what `contents` gives of it, and the others are not looked at.
pub(crate) fn contents_of<'a>(role: &Role<'a>, source: &'a str) -> Option<Contents<'a>> {
    let mut sorter = Sorter { only: Some(source), ..Sorter::default() };
    for (cohort, fresh) in role.cohorts.iter().map(|cohort| cohort.fresh.clone()).enumerate() {
        for node in fresh {
            sorter.take(&role.nodes[node].sections, node, cohort);
        }
    }
    sorter.finish(role).pop()
}

/// The distinct sections of the fresh nodes, in order of source.
pub(crate) fn distinct<'a>(role: &Role<'a>) -> BTreeMap<&'a str, Vec<&'a Section>> {
    let mut sources: BTreeMap<&str, Vec<&Section>> = BTreeMap::new();
    let (mut places, mut seen): (Vec<*const Section>, _) = (Vec::new(), HashSet::new());
    for node in &role.nodes {
        places.resize(places.len().max(node.sections.len()), std::ptr::null());
        for (place, section) in places.iter_mut().zip(&node.sections) {
            let address = Arc::as_ptr(section);
            if *place == address {
                continue;
            }
            *place = address;
            let source = family(section.source());
            if source != IDENTITY && seen.insert(address) {
                sources.entry(source).or_default().push(section);
            }
        }
    }
    sources
}

impl<'a> Group<'a> {
    /// What the group notes of a path; `None` when it notes nothing.
    pub(crate) fn find(&self, path: &str) -> Option<&'a Observation> {
        self.sections.iter().find_map(|section| section.find(path))
    }

    /// Whether it has a section of this name.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|own| own.name() == section)
    }
}

type Members = Vec<(usize, usize)>;

/// Sorts nodes into groups. Sections are compared by address only.
#[derive(Default)]
struct Sorter<'a> {
    /// For each position in a node's list: the section seen there last and its source. Most nodes repeat it.
    places: Vec<(*const Section, usize)>,
    sources: Vec<SourceSorter<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// The one source that is wanted, if not all are.
    only: Option<&'a str>,
    taken: Members,
}

struct SourceSorter<'a> {
    name: &'a str,
    /// The sections of the node in hand.
    hand: Vec<&'a Arc<Section>>,
    groups: Vec<(Vec<&'a Arc<Section>>, Members)>,
    by_address: HashMap<Vec<*const Section>, usize>,
    /// The group of the node before.
    last: usize,
    /// How many nodes were sorted in.
    sorted: usize,
}

impl<'a> Sorter<'a> {
    fn take(&mut self, sections: &'a [Arc<Section>], node: usize, cohort: usize) {
        for (place, section) in sections.iter().enumerate() {
            let address = Arc::as_ptr(section);
            let source = match self.places.get(place) {
                Some((seen, source)) if *seen == address => *source,
                _ => self.source(place, section),
            };
            if let Some(source) = self.sources.get_mut(source) {
                source.hand.push(section);
            }
        }
        for source in &mut self.sources {
            // A source that appears late: the nodes before do not have it.
            while source.sorted < self.taken.len() {
                let (node, cohort) = self.taken[source.sorted];
                source.put(Vec::new(), node, cohort);
            }
            source.put_hand(node, cohort);
        }
        self.taken.push((node, cohort));
    }

    /// The source of a section; `usize::MAX` for identity, and for what is not wanted.
    fn source(&mut self, place: usize, section: &'a Section) -> usize {
        let name = family(section.source());
        let at = if name == IDENTITY || self.only.is_some_and(|only| name != only) {
            usize::MAX
        } else {
            *self.by_name.entry(name).or_insert_with(|| {
                self.sources.push(SourceSorter::new(name));
                self.sources.len() - 1
            })
        };
        if self.places.len() <= place {
            self.places.resize(place + 1, (std::ptr::null(), usize::MAX));
        }
        self.places[place] = (section, at);
        at
    }

    fn finish(self, role: &Role<'a>) -> Vec<Contents<'a>> {
        let mut sources: Vec<_> =
            self.sources.into_iter().map(|source| source.finish(role.cohorts.len())).collect();
        sources.sort_unstable_by_key(|contents| contents.source);
        sources
    }
}

impl<'a> SourceSorter<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, hand: Vec::new(), groups: Vec::new(), by_address: HashMap::new(), last: 0, sorted: 0 }
    }

    fn put_hand(&mut self, node: usize, cohort: usize) {
        let last = self.groups.get_mut(self.last).filter(|(sections, _)| {
            sections.len() == self.hand.len()
                && sections.iter().zip(&self.hand).all(|(a, b)| Arc::ptr_eq(a, b))
        });
        if let Some((_, members)) = last {
            members.push((node, cohort));
            self.sorted += 1;
            self.hand.clear();
        } else {
            let hand = std::mem::take(&mut self.hand);
            self.put(hand, node, cohort);
        }
    }

    fn put(&mut self, sections: Vec<&'a Arc<Section>>, node: usize, cohort: usize) {
        self.sorted += 1;
        match self.by_address.entry(sections.iter().map(|section| Arc::as_ptr(section)).collect()) {
            Entry::Occupied(at) => {
                self.last = *at.get();
                self.groups[self.last].1.push((node, cohort));
            }
            Entry::Vacant(free) => {
                self.last = *free.insert(self.groups.len());
                self.groups.push((sections, vec![(node, cohort)]));
            }
        }
    }

    fn finish(self, cohorts: usize) -> Contents<'a> {
        let mut groups: Vec<_> =
            self.groups.into_iter().map(|(sections, members)| group(&sections, &members, cohorts)).collect();
        let base = (0..groups.len()).max_by_key(|at| groups[*at].nodes.len()).unwrap_or(0);
        groups.swap(0, base);
        Contents { source: self.name, groups }
    }
}

fn group<'a>(sections: &[&'a Arc<Section>], members: &Members, cohorts: usize) -> Group<'a> {
    let mut sections: Vec<&Section> = sections.iter().map(|section| &***section).collect();
    sections.sort_by_key(|section| section.name());
    let mut counts = vec![0; cohorts];
    for (_, cohort) in members {
        counts[*cohort] += 1;
    }
    let facts = sections.iter().flat_map(|section| section.facts());
    let unreadable = facts
        .filter_map(|(path, observation)| match observation {
            Observation::Unreadable(reason) => Some((path.as_str(), *reason)),
            Observation::Present(_) | Observation::Absent => None,
        })
        .collect();
    Group { nodes: members.iter().map(|(node, _)| *node).collect(), sections, counts, unreadable }
}
