//! What nodes claim for themselves alone: which identities more than one node may have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use evenkeel_facts::{Observation, Value};

use super::groups::IDENTITY;
use crate::fleet::Node;

/// Every identity of every node, as a short hash. Nearly every one stands alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    keys: RandomState,
    /// The place of the node that claims it, or claimed it first.
    first: HashMap<u32, u32>,
    /// The places of those that claim what others seem to claim, too.
    shared: BTreeMap<u32, BTreeSet<u32>>,
}

impl Claims {
    /// Takes in what a node claims.
    pub(crate) fn add(&mut self, place: u32, node: &Node) {
        for hash in self.of(node) {
            let first = *self.first.entry(hash).or_insert(place);
            if first != place {
                self.shared.entry(hash).or_default().extend([first, place]);
            }
        }
    }

    /// Forgets what a node claimed.
    pub(crate) fn remove(&mut self, place: u32, node: &Node) {
        for hash in self.of(node) {
            if let Some(places) = self.shared.get_mut(&hash) {
                places.remove(&place);
                if let Some(other) = places.first() {
                    self.first.insert(hash, *other);
                }
                if places.len() == 1 {
                    self.shared.remove(&hash);
                }
            } else if self.first.get(&hash) == Some(&place) {
                self.first.remove(&hash);
            }
        }
    }

    /// Places whose nodes may have an identity in common, and its hash.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (u32, &BTreeSet<u32>)> {
        self.shared.iter().map(|(hash, places)| (*hash, places))
    }

    /// The hash of an identity: of its family and value.
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(crate) fn hash(&self, path: &str, value: &Value) -> u32 {
        (match value {
            Value::Text(text) => self.keys.hash_one((family(path), text.as_str())),
            // As it is shown: 1 and "1" are one identity.
            other => self.keys.hash_one((family(path), other.to_string().as_str())),
        }) as u32
    }

    fn of(&self, node: &Node) -> BTreeSet<u32> {
        identities(node).map(|(path, value)| self.hash(path, value)).collect()
    }
}

/// What a node says of its identity.
pub(crate) fn identities(node: &Node) -> impl Iterator<Item = (&str, &Value)> {
    let sections = node.sections.iter().filter(|section| section.source() == IDENTITY);
    sections.flat_map(|section| section.facts()).filter_map(|(path, seen)| match seen {
        Observation::Present(Value::Text(text)) if text.is_empty() => None,
        Observation::Present(value) => Some((path.as_str(), value)),
        Observation::Absent | Observation::Unreadable(_) => None,
    })
}

/// `identity.mac` for `identity.mac[eth0]`: interfaces are named by the machine.
pub(crate) fn family(path: &str) -> &str {
    path.split('[').next().unwrap_or(path)
}
