//! The nodes of a fleet, and the index that reports are made from: cost follows distinct contents, not nodes.
//!
//! It is kept while nodes change: a change costs what was changed. A copy costs nothing: whoever reads one sees the nodes
//! as they were, and whoever changes the nodes meanwhile copies only what is changed.

mod claims;
mod deviations;
mod groups;
mod set;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::RandomState;
use std::sync::Arc;

use evenkeel_facts::{FactPath, Section};
use jiff::Timestamp;

use crate::fleet::{Holders, Node};
use claims::Claims;
pub(crate) use claims::{family as identity_family, identities};
pub(crate) use deviations::{Deviation, Deviations, Gaps};
use groups::IDENTITY;
pub(crate) use groups::{Members, OfCohort, OfGroup, OfRole, OfSource};
pub(crate) use set::{Set, count};

/// How many nodes are copied to change one of them while somebody reads.
const CHUNK: usize = 256;

/// Nodes beside each other.
type Chunk = Vec<Option<Arc<Node>>>;

/// The nodes of a fleet, in any order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    places: Arc<Vec<Arc<Chunk>>>,
    free: Arc<Vec<u32>>,
    roles: Arc<BTreeMap<Arc<str>, Arc<OfRole>>>,
    /// For each fact that changed on some node after its first commit: on which.
    changes: Arc<HashMap<FactPath, Set>>,
    claims: Arc<Claims>,
    /// The nodes whose key several machines hold.
    held: Arc<BTreeSet<u32>>,
    keys: Arc<RandomState>,
}

/// Where a node stands among the others, for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

/// What decides where the index has a node.
#[derive(PartialEq)]
struct Standing {
    name: Arc<str>,
    environment: usize,
    role: Arc<str>,
    fresh: bool,
    since: Timestamp,
    holders: Option<Arc<Holders>>,
}

impl Standing {
    fn of(node: &Node) -> Self {
        let Node { name, environment, role, fresh, since, holders, .. } = node;
        Self {
            name: Arc::clone(name),
            environment: *environment,
            role: Arc::clone(role),
            fresh: *fresh,
            since: *since,
            holders: holders.clone(),
        }
    }
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        // All chunks but the last are full.
        let before = self.places.len().saturating_sub(1) * CHUNK;
        before + self.places.last().map_or(0, |chunk| chunk.len()) - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every node.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.places.iter().flat_map(|chunk| chunk.iter().flatten())
    }

    /// Takes in one more.
    pub fn insert(&mut self, node: Arc<Node>) -> Place {
        let place = match Arc::make_mut(&mut self.free).pop() {
            Some(place) => place,
            None => u32::try_from(self.len()).expect("a fleet has fewer than 2^32 nodes"),
        };
        self.index(place, &node);
        *self.slot(place) = Some(node);
        Place(place)
    }

    /// Changes a node, and what the caller has of it: in place where nobody else reads it, else in a copy. To
    /// [`Node::changed`] facts may be added; none may be taken out.
    pub fn update(&mut self, Place(place): Place, node: &mut Arc<Node>, change: impl FnOnce(&mut Node)) {
        *self.slot(place) = None;
        let before = Standing::of(node);
        let (sections, changes) = (node.sections.clone(), node.changed.len());
        change(Arc::make_mut(node));
        let is_where_it_was = before == Standing::of(node);
        let identity = |sections: &[Arc<Section>]| -> Vec<*const Section> {
            sections.iter().filter(|section| section.source() == IDENTITY).map(Arc::as_ptr).collect()
        };
        if is_where_it_was && identity(&sections) == identity(&node.sections) {
            if node.fresh {
                let keys = Arc::clone(&self.keys);
                self.role(&node.role).change(place, &sections, node, &keys);
            }
            if node.changed.len() != changes {
                self.note_changes(place, node);
            }
        } else {
            let Standing { name, environment, role, fresh, since, holders } = before;
            let old = Node { name, environment, role, fresh, sections, since, holders, ..Node::clone(node) };
            self.forget(place, &old);
            self.index(place, node);
        }
        *self.slot(place) = Some(Arc::clone(node));
    }

    /// Lets one go.
    pub fn remove(&mut self, Place(place): Place) {
        if let Some(node) = self.slot(place).take() {
            self.forget(place, &node);
            Arc::make_mut(&mut self.free).push(place);
        }
    }

    /// The node at a place that some index names.
    pub(crate) fn at(&self, place: u32) -> &Node {
        let (chunk, at) = (place as usize / CHUNK, place as usize % CHUNK);
        self.places[chunk][at].as_ref().expect("an index names nodes that are there")
    }

    /// The roles that nodes have.
    pub(crate) fn roles(&self) -> &BTreeMap<Arc<str>, Arc<OfRole>> {
        &self.roles
    }

    /// The nodes on which a fact changed after their first commit.
    pub(crate) fn changed(&self, path: &str) -> Option<&Set> {
        self.changes.get(path)
    }

    /// Whether no fact changed anywhere after a first commit.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    /// What nodes claim for themselves alone.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The nodes whose key several machines hold.
    pub(crate) fn held(&self) -> &BTreeSet<u32> {
        &self.held
    }

    /// Places are below this number.
    pub(crate) fn capacity(&self) -> usize {
        self.places.len() * CHUNK
    }

    fn slot(&mut self, place: u32) -> &mut Option<Arc<Node>> {
        let (chunk, at) = (place as usize / CHUNK, place as usize % CHUNK);
        let places = Arc::make_mut(&mut self.places);
        if places.len() <= chunk {
            places.resize_with(chunk + 1, Arc::default);
        }
        let chunk = Arc::make_mut(&mut places[chunk]);
        if chunk.len() <= at {
            chunk.reserve_exact(CHUNK - chunk.len());
            chunk.resize(at + 1, None);
        }
        &mut chunk[at]
    }

    fn role(&mut self, name: &Arc<str>) -> &mut OfRole {
        Arc::make_mut(Arc::make_mut(&mut self.roles).entry(Arc::clone(name)).or_default())
    }

    fn index(&mut self, place: u32, node: &Node) {
        let keys = Arc::clone(&self.keys);
        self.role(&node.role).add(place, node, &keys);
        Arc::make_mut(&mut self.claims).add(place, node);
        if node.holders.is_some() {
            Arc::make_mut(&mut self.held).insert(place);
        }
        self.note_changes(place, node);
    }

    fn note_changes(&mut self, place: u32, node: &Node) {
        if node.changed.is_empty() {
            return;
        }
        let changes = Arc::make_mut(&mut self.changes);
        for path in node.changed.keys() {
            match changes.get_mut(path) {
                Some(places) => places.insert(place),
                None => drop(changes.insert(path.clone(), Set::One(place))),
            }
        }
    }

    fn forget(&mut self, place: u32, node: &Node) {
        let keys = Arc::clone(&self.keys);
        if !self.role(&node.role).remove(place, node, &keys) {
            Arc::make_mut(&mut self.roles).remove(&node.role);
        }
        Arc::make_mut(&mut self.claims).remove(place, node);
        if node.holders.is_some() {
            Arc::make_mut(&mut self.held).remove(&place);
        }
        if !node.changed.is_empty() {
            let changes = Arc::make_mut(&mut self.changes);
            for path in node.changed.keys() {
                if let Some((path, places)) = changes.remove_entry(path)
                    && let Some(rest) = places.without(place)
                {
                    changes.insert(path, rest);
                }
            }
        }
    }
}

impl Extend<Arc<Node>> for Nodes {
    fn extend<T: IntoIterator<Item = Arc<Node>>>(&mut self, nodes: T) {
        for node in nodes {
            self.insert(node);
        }
    }
}

impl FromIterator<Arc<Node>> for Nodes {
    fn from_iter<T: IntoIterator<Item = Arc<Node>>>(nodes: T) -> Self {
        let mut all = Self::default();
        all.extend(nodes);
        all
    }
}
