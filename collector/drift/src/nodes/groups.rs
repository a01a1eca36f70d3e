//! The nodes of one role, kept sorted: by cohort, and for each source by what they say.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

use evenkeel_facts::Section;
use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::deviations::Deviations;
use super::set::Set;
use crate::fleet::Node;
use crate::report::Names;

/// The one section that is unique on every host by contract (DESIGN §2): it is never opened to compare.
pub(crate) const IDENTITY: &str = "identity";

/// The source that this one is looked at together with: what sysctl.d sets is held against what runs, node by node.
pub(crate) fn family(source: &str) -> &str {
    if source == "sysctl_persisted" { "sysctl" } else { source }
}

/// The nodes of one role.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfRole {
    /// By environment; only those that have nodes of the role.
    pub(crate) cohorts: BTreeMap<usize, OfCohort>,
    /// By family; what stale nodes said is not among it.
    pub(crate) sources: BTreeMap<Arc<str>, Arc<OfSource>>,
    /// The names of the fresh nodes, once somebody asked for them.
    pub(crate) names: OnceLock<Names>,
}

/// The nodes of one role in one environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfCohort {
    /// Those that reported within their deadline.
    pub(crate) fresh: Arc<RoaringBitmap>,
    /// The others.
    pub(crate) stale: Arc<RoaringBitmap>,
    /// How many of the fresh ones were taken in first at each moment.
    pub(crate) known: Arc<BTreeMap<Timestamp, u32>>,
    /// The names of the fresh ones, once somebody asked for them.
    pub(crate) names: OnceLock<Names>,
}

/// What the fresh nodes of a role say of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfSource {
    /// Nodes that have the very same sections.
    groups: HashMap<Key, OfGroup, BuildHasherDefault<AsItIs>>,
    /// The group that all are held against; one of them.
    base: Key,
}

/// Nodes that have the very same sections of one source.
#[derive(Debug, Clone)]
pub(crate) struct OfGroup {
    hand: Hand,
    /// Who they are.
    pub(crate) members: Members,
    /// What they say otherwise than the base.
    pub(crate) deviations: Deviations,
}

/// Places by environment. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    /// One node.
    One {
        /// Its environment.
        environment: u32,
        /// Its place.
        place: u32,
    },
    /// Several, by environment, ascending.
    Many(Arc<Vec<(u32, Set)>>),
}

/// The sections of one source, by name. One is the rule.
#[derive(Debug, Clone)]
enum Hand {
    One(Arc<Section>),
    Many(Arc<[Arc<Section>]>),
}

/// Which sections: the address of one, a keyed hash of the addresses of several. They live for as long as their group.
type Key = u128;

/// Keys are addresses or hashes already.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, key: u128) {
        // The table looks at the upper bits, too: those of addresses are all alike.
        self.0 = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

impl OfGroup {
    /// What they say, by name.
    pub(crate) fn sections(&self) -> &[Arc<Section>] {
        self.hand.sections()
    }
}

impl Hand {
    fn sections(&self) -> &[Arc<Section>] {
        match self {
            Self::One(section) => std::slice::from_ref(section),
            Self::Many(sections) => sections,
        }
    }
}

impl Members {
    /// Of these nodes, by environment, ascending.
    pub(crate) fn of(parts: impl IntoIterator<Item = (usize, RoaringBitmap)>) -> Self {
        let part = |(environment, places)| {
            (u32::try_from(environment).unwrap_or(u32::MAX), Set::Many(Arc::new(places)))
        };
        Self::Many(Arc::new(parts.into_iter().map(part).collect()))
    }

    /// By environment.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, Cow<'_, Set>)> {
        let (one, many) = match self {
            Self::One { environment, place } => {
                (Some((*environment as usize, Cow::Owned(Set::One(*place)))), None)
            }
            Self::Many(parts) => (None, Some(parts)),
        };
        let many = many.into_iter().flat_map(|parts| parts.iter());
        one.into_iter()
            .chain(many.map(|(environment, places)| (*environment as usize, Cow::Borrowed(places))))
    }

    fn len(&self) -> u32 {
        match self {
            Self::One { .. } => 1,
            Self::Many(parts) => parts.iter().map(|(_, places)| places.len()).sum(),
        }
    }

    fn insert(&mut self, environment: u32, place: u32) {
        match self {
            Self::One { environment: own, place: only } => {
                let mut parts = vec![(*own, Set::One(*only))];
                add(&mut parts, environment, place);
                *self = Self::Many(Arc::new(parts));
            }
            Self::Many(parts) => add(Arc::make_mut(parts), environment, place),
        }
    }

    /// Whether somebody is left.
    fn remove(&mut self, environment: u32, place: u32) -> bool {
        let parts = match self {
            Self::One { environment: own, place: only } => return (*own, *only) != (environment, place),
            Self::Many(parts) => Arc::make_mut(parts),
        };
        if let Ok(at) = parts.binary_search_by_key(&environment, |(own, _)| *own) {
            let (_, places) = parts.remove(at);
            if let Some(places) = places.without(place) {
                parts.insert(at, (environment, places));
            }
        }
        match parts.as_slice() {
            [] => return false,
            [(environment, Set::One(place))] => {
                *self = Self::One { environment: *environment, place: *place };
            }
            _ => {}
        }
        true
    }
}

fn add(parts: &mut Vec<(u32, Set)>, environment: u32, place: u32) {
    match parts.binary_search_by_key(&environment, |(own, _)| *own) {
        Ok(at) => parts[at].1.insert(place),
        Err(at) => parts.insert(at, (environment, Set::One(place))),
    }
}

impl OfRole {
    /// Takes in a node.
    pub(crate) fn add(&mut self, place: u32, node: &Node, keys: &RandomState) {
        let cohort = self.cohorts.entry(node.environment).or_default();
        if !node.fresh {
            Arc::make_mut(&mut cohort.stale).insert(place);
            return;
        }
        Arc::make_mut(&mut cohort.fresh).insert(place);
        (cohort.names, self.names) = Default::default();
        *Arc::make_mut(&mut cohort.known).entry(node.since).or_default() += 1;
        for hand in hands(&node.sections).chunk_by(|a, b| same_family(a, b)) {
            self.put(hand, environment(node), place, keys);
        }
    }

    /// Forgets a node as it was. Whether some are left.
    pub(crate) fn remove(&mut self, place: u32, node: &Node, keys: &RandomState) -> bool {
        if let Some(cohort) = self.cohorts.get_mut(&node.environment) {
            if node.fresh {
                Arc::make_mut(&mut cohort.fresh).remove(place);
                (cohort.names, self.names) = Default::default();
                let known = Arc::make_mut(&mut cohort.known);
                if let Some(count) = known.get_mut(&node.since) {
                    *count -= 1;
                    if *count == 0 {
                        known.remove(&node.since);
                    }
                }
            } else {
                Arc::make_mut(&mut cohort.stale).remove(place);
            }
            if cohort.fresh.is_empty() && cohort.stale.is_empty() {
                self.cohorts.remove(&node.environment);
            }
        }
        if node.fresh {
            for hand in hands(&node.sections).chunk_by(|a, b| same_family(a, b)) {
                self.drop(hand, environment(node), place, keys);
            }
        }
        !self.cohorts.is_empty()
    }

    /// A fresh node has other sections, and else is what it was.
    pub(crate) fn change(&mut self, place: u32, before: &[Arc<Section>], now: &Node, keys: &RandomState) {
        let (before, after) = (hands(before), hands(&now.sections));
        let mut old = before.chunk_by(|a, b| same_family(a, b)).peekable();
        let mut new = after.chunk_by(|a, b| same_family(a, b)).peekable();
        loop {
            let left = old.peek().map(|hand| family(hand[0].source()));
            let right = new.peek().map(|hand| family(hand[0].source()));
            let (left, right) = match (left, right) {
                (None, None) => return,
                (Some(a), Some(b)) if a == b => (old.next(), new.next()),
                (Some(a), b) if b.is_none_or(|b| a < b) => (old.next(), None),
                _ => (None, new.next()),
            };
            let is_same = left.zip(right).is_some_and(|(left, right)| {
                left.len() == right.len() && left.iter().zip(right).all(|(a, b)| Arc::ptr_eq(a, b))
            });
            if is_same {
                continue;
            }
            if let Some(hand) = left {
                self.drop(hand, environment(now), place, keys);
            }
            if let Some(hand) = right {
                self.put(hand, environment(now), place, keys);
            }
        }
    }

    fn put(&mut self, hand: &[&Arc<Section>], environment: u32, place: u32, keys: &RandomState) {
        let name = family(hand[0].source());
        if !self.sources.contains_key(name) {
            self.sources.insert(name.into(), Arc::default());
        }
        if let Some(source) = self.sources.get_mut(name) {
            Arc::make_mut(source).put(key(hand, keys), hand, (environment, place));
        }
    }

    fn drop(&mut self, hand: &[&Arc<Section>], environment: u32, place: u32, keys: &RandomState) {
        let name = family(hand[0].source());
        let Some(source) = self.sources.get_mut(name) else { return };
        if !Arc::make_mut(source).drop(key(hand, keys), (environment, place)) {
            self.sources.remove(name);
        }
    }
}

impl OfSource {
    /// Every group, and which of them the others are held against.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&OfGroup, bool)> {
        self.groups.iter().map(|(key, group)| (group, *key == self.base))
    }

    fn put(&mut self, key: Key, hand: &[&Arc<Section>], (environment, place): (u32, u32)) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.members.insert(environment, place);
            let size = group.members.len();
            // What most say is the shortest way to say what the others do.
            if key != self.base
                && self.groups.get(&self.base).is_some_and(|base| base.members.len() * 2 < size)
            {
                self.rebase(key);
            }
            return;
        }
        let hand = match hand {
            [section] => Hand::One(Arc::clone(section)),
            sections => Hand::Many(sections.iter().map(|section| Arc::clone(section)).collect()),
        };
        let deviations = if let Some(base) = self.groups.get(&self.base) {
            Deviations::between(base.sections(), &base.deviations.gaps, hand.sections())
        } else {
            self.base = key;
            Deviations::none(hand.sections())
        };
        let members = Members::One { environment, place };
        self.groups.insert(key, OfGroup { hand, members, deviations });
    }

    /// Whether somebody is left.
    fn drop(&mut self, key: Key, (environment, place): (u32, u32)) -> bool {
        if let Entry::Occupied(mut group) = self.groups.entry(key)
            && !group.get_mut().members.remove(environment, place)
        {
            group.remove();
        }
        if !self.groups.contains_key(&self.base)
            && let Some((most, _)) = self.groups.iter().max_by_key(|(_, group)| group.members.len())
        {
            self.rebase(*most);
        }
        !self.groups.is_empty()
    }

    /// Holds all against this group.
    fn rebase(&mut self, key: Key) {
        self.base = key;
        let Some(base) = self.groups.get_mut(&key) else { return };
        base.deviations = Deviations::none(base.sections());
        let base = base.clone();
        for (_, group) in self.groups.iter_mut().filter(|(own, _)| **own != key) {
            group.deviations = Deviations::between(base.sections(), &base.deviations.gaps, group.sections());
        }
    }
}

/// The sections that are compared, by source and name.
fn hands(sections: &[Arc<Section>]) -> Vec<&Arc<Section>> {
    let mut sections: Vec<_> = sections.iter().filter(|section| section.source() != IDENTITY).collect();
    let is_ordered = |pair: &[&Arc<Section>]| {
        (family(pair[0].source()), pair[0].name()) <= (family(pair[1].source()), pair[1].name())
    };
    if !sections.windows(2).all(is_ordered) {
        sections.sort_by(|a, b| (family(a.source()), a.name()).cmp(&(family(b.source()), b.name())));
    }
    sections
}

fn same_family(a: &Arc<Section>, b: &Arc<Section>) -> bool {
    family(a.source()) == family(b.source())
}

/// An environment has a place in a list: it fits.
fn environment(node: &Node) -> u32 {
    u32::try_from(node.environment).unwrap_or(u32::MAX)
}

fn key(hand: &[&Arc<Section>], keys: &RandomState) -> Key {
    let address = |section: &Arc<Section>| Arc::as_ptr(section).addr() as u64;
    match hand {
        [section] => address(section).into(),
        sections => {
            let addresses: Vec<u64> = sections.iter().map(|section| address(section)).collect();
            let half = |which: u64| u128::from(keys.hash_one((which, &addresses)));
            // No address of one section is so large.
            (half(1) << 64) | half(2) | (1 << 127)
        }
    }
}
