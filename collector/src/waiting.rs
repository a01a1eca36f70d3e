//! Contents that agents were asked for and that no commit has named yet. In memory, each node with a share of its own,
//! for a short time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, Section};
use uuid::Uuid;

/// How long contents wait for the check-in that names them.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes that wait at once for all nodes, as they are in memory.
const MAX_BYTES: usize = 512 * 1024 * 1024;
/// The most bytes that wait at once for one node: as much as a snapshot file may have.
const MAX_BYTES_OF_NODE: usize = 64 * 1024 * 1024;
/// What a fact takes in memory besides its own text.
const FACT_BYTES: usize = 96;

/// The contents that wait.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Nodes>);

#[derive(Debug, Default)]
struct Nodes {
    shares: HashMap<Uuid, Share>,
    bytes: usize,
}

/// What one node was asked for, and what of it has come.
#[derive(Debug)]
struct Share {
    since: Instant,
    asked: HashSet<Digest>,
    contents: HashMap<Digest, Arc<Section>>,
    bytes: usize,
}

/// A content was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node was not asked for it.
    #[error("a content that was not asked for: check in first")]
    NotAsked,
    /// There is no room for it now.
    #[error("no room for more contents now: come back later")]
    Full,
}

impl Waiting {
    /// The node was asked for these. What came for an earlier check-in and is not among them is forgotten.
    pub fn ask(&self, node: Uuid, digests: impl IntoIterator<Item = Digest>, now: Instant) {
        let mut nodes = self.lock();
        nodes.forget(node);
        let share =
            Share { since: now, asked: digests.into_iter().collect(), contents: HashMap::new(), bytes: 0 };
        nodes.shares.insert(node, share);
    }

    /// Keeps a content of so many canonical bytes.
    pub fn put(&self, node: Uuid, section: Section, bytes: usize, now: Instant) -> Result<(), Refusal> {
        let digest = section.digest();
        let bytes = bytes + FACT_BYTES * section.facts().len();
        let mut nodes = self.lock();
        if nodes.bytes + bytes > MAX_BYTES {
            nodes.forget_expired(now);
        }
        let full = nodes.bytes + bytes > MAX_BYTES;
        let share = nodes.shares.get_mut(&node).ok_or(Refusal::NotAsked)?;
        if !share.asked.contains(&digest) {
            return Err(Refusal::NotAsked);
        }
        if share.contents.contains_key(&digest) {
            return Ok(());
        }
        if full || share.bytes + bytes > MAX_BYTES_OF_NODE {
            return Err(Refusal::Full);
        }
        share.contents.insert(digest, Arc::new(section));
        share.bytes += bytes;
        nodes.bytes += bytes;
        Ok(())
    }

    /// A content that this node has put.
    pub fn find(&self, node: Uuid, digest: Digest) -> Option<Arc<Section>> {
        self.lock().shares.get(&node)?.contents.get(&digest).cloned()
    }

    /// The node's check-in is answered: nothing of it waits any more.
    pub fn forget(&self, node: Uuid) {
        self.lock().forget(node);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    fn forget(&mut self, node: Uuid) {
        if let Some(share) = self.shares.remove(&node) {
            self.bytes -= share.bytes;
        }
    }

    fn forget_expired(&mut self, now: Instant) {
        let Self { shares, bytes } = self;
        shares.retain(|_, share| {
            let keep = now.duration_since(share.since) < PATIENCE;
            if !keep {
                *bytes -= share.bytes;
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::SectionBuilder;

    fn section(name: &str) -> Section {
        SectionBuilder::new(name).finish()
    }

    fn put(waiting: &Waiting, node: u128, name: &str, bytes: usize, now: Instant) -> Result<(), Refusal> {
        waiting.put(Uuid::from_u128(node), section(name), bytes, now)
    }

    /// Promise: one node cannot take the room of others, and contents that nobody names do not fill the memory.
    #[test]
    fn each_node_has_a_bounded_share() {
        let waiting = Waiting::default();
        let (now, names) = (Instant::now(), ["a", "b", "c"]);
        for node in 0..=9 {
            waiting.ask(Uuid::from_u128(node), names.map(|name| section(name).digest()), now);
        }
        assert_eq!(put(&waiting, 0, "z", 1, now), Err(Refusal::NotAsked));
        assert_eq!(put(&waiting, 77, "a", 1, now), Err(Refusal::NotAsked));
        assert_eq!(put(&waiting, 0, "a", MAX_BYTES_OF_NODE, now), Ok(()));
        assert_eq!(put(&waiting, 0, "b", 1, now), Err(Refusal::Full));
        for node in 1..8 {
            assert_eq!(put(&waiting, node, "a", MAX_BYTES_OF_NODE, now), Ok(()));
        }
        assert_eq!(put(&waiting, 9, "a", 1, now), Err(Refusal::Full));
        waiting.forget(Uuid::from_u128(3));
        assert_eq!(put(&waiting, 9, "a", 1, now), Ok(()));
        assert!(waiting.find(Uuid::from_u128(9), section("a").digest()).is_some());
        assert!(waiting.find(Uuid::from_u128(3), section("a").digest()).is_none());
    }

    #[test]
    fn what_nobody_names_is_forgotten_when_room_is_needed() {
        let waiting = Waiting::default();
        let now = Instant::now();
        for node in 0..8 {
            waiting.ask(Uuid::from_u128(node), [section("a").digest()], now);
            assert_eq!(put(&waiting, node, "a", MAX_BYTES_OF_NODE, now), Ok(()));
        }
        let later = now + PATIENCE;
        waiting.ask(Uuid::from_u128(9), [section("a").digest()], later);
        assert_eq!(put(&waiting, 9, "a", 1, later), Ok(()));
    }
}
