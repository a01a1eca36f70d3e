//! One node as the journal tells it, and when it was heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use evenkeel_drift::fleet::Node;
use evenkeel_drift::nodes::Nodes;
use evenkeel_facts::FactPath;
use evenkeel_runtime::trust::Mark;
use evenkeel_store::entry::Labels;
use jiff::Timestamp;

use super::NodeState;

impl NodeState {
    /// Changes what the drift engine reads of it.
    pub(super) fn change(&mut self, index: &mut Nodes, change: impl FnOnce(&mut Node)) {
        match self.place {
            Some(place) => index.update(place, &mut self.view, change),
            None => change(Arc::make_mut(&mut self.view)),
        }
    }

    /// Its name, role and agent version, as its last commit said.
    pub fn labels(&self) -> Labels {
        Labels {
            host: self.view.name.to_string(),
            role: self.view.role.to_string(),
            agent: self.agent.clone(),
        }
    }

    /// Whether all that it is is held.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }

    /// The names of sections that it has and the store lost.
    pub fn damaged(&self) -> impl Iterator<Item = &str> {
        self.damaged.keys().map(String::as_str)
    }

    /// When a fact became what it is.
    pub fn since_of(&self, path: &FactPath) -> Timestamp {
        self.view.changed.get(path).copied().unwrap_or(self.view.since)
    }

    /// When it was last heard; `None` if not since the collector started.
    pub fn last_seen(&self) -> Option<Timestamp> {
        match self.last_seen.load(Ordering::Relaxed) {
            0 => None,
            milliseconds => Timestamp::from_millisecond(milliseconds).ok(),
        }
    }

    /// Whether this is SHA-256 of the key that it enrolled with, as far as that is known.
    pub fn holds_key(&self, key: &[u8]) -> bool {
        self.key.is_empty() || self.key == key
    }

    /// Two or more: the machines that hold its key at once.
    pub fn holders(&self) -> &[String] {
        self.view.holders.as_ref().map_or(&[], |holders| &holders.names)
    }

    /// An instance of its agent speaks, in this boot epoch. Returns the one that spoke before, if it was another.
    ///
    /// What comes from an earlier boot epoch than one that spoke already does not count: it is of an agent that has ended,
    /// and was long on its way. A second machine that is alive is told that it is behind, and comes again above.
    pub fn spoken_by(&self, instance: u64, boot_epoch: u64) -> Option<u64> {
        if self.epoch_spoken.fetch_max(boot_epoch, Ordering::Relaxed) > boot_epoch {
            return None;
        }
        let before = self.instance.swap(instance, Ordering::Relaxed);
        (before != 0 && before != instance).then_some(before)
    }

    /// It says which roots and issuer it holds.
    pub fn holds(&self, mark: Mark) {
        self.mark.store(mark.number(), Ordering::Relaxed);
    }

    /// Which roots and issuer it has said it holds; `None` if not since the collector started.
    pub fn mark(&self) -> Option<Mark> {
        match self.mark.load(Ordering::Relaxed) {
            0 => None,
            number => Mark::try_from(number.to_be_bytes().as_slice()).ok(),
        }
    }

    /// The latest boot epoch heard of.
    pub fn epoch_heard(&self) -> u64 {
        self.epoch_heard.load(Ordering::Relaxed)
    }
}
