//! Contents that agents were asked for and that no commit has named yet. In memory, each node with a share of its own,
//! for a short time.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::Digest;
use evenkeel_proto::fleet::Commit;
use evenkeel_store::Content;
use prost::Message as _;
use uuid::Uuid;

/// How long contents wait for the check-in that names them.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes that wait at once for all nodes, as they are in memory.
const MAX_BYTES: usize = 512 * 1024 * 1024;
/// The most bytes that wait at once for one node: as much as a snapshot file may have.
const MAX_BYTES_OF_NODE: usize = 64 * 1024 * 1024;
/// The largest commit that is kept, as it came. A machine's has 2 KB.
const MAX_COMMIT_BYTES: usize = 16 * 1024;
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
    /// How many contents may still come: each twice, for a connection that broke in between.
    expected: usize,
    /// Whether the check-in that follows belongs to the one before.
    goes_on: bool,
    /// Whether an upload is under way.
    is_uploading: bool,
    contents: HashMap<Digest, Kept>,
    /// What the check-in said that asked for them, and the root that it named.
    commit: Option<(Digest, Commit)>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    content: Content,
    bytes: usize,
}

/// A content was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node was not asked for it.
    #[error("a content that was not asked for: check in first")]
    NotAsked,
    /// The node uploads already.
    #[error("an upload of this node is under way: one at a time")]
    Twice,
    /// There is no room for it now.
    #[error("no room for more contents now: come back later")]
    Full,
}

impl Waiting {
    /// The node was asked for these, `missing` of a commit that names `found`, too. Of what came before, what it names is
    /// kept: else a node whose upload was cut off, and that changed meanwhile, would be asked for one half and then for
    /// the other without end. The rest is forgotten. When it comes again with the same commit, that `goes_on` what it
    /// began.
    pub fn ask(
        &self,
        node: Uuid,
        missing: impl IntoIterator<Item = Digest>,
        found: &HashSet<Digest>,
        goes_on: bool,
        now: Instant,
    ) {
        let mut nodes = self.lock();
        let mut contents = nodes.forget(node);
        contents.retain(|digest, _| found.contains(digest));
        let bytes: usize = contents.values().map(|kept| kept.bytes).sum();
        nodes.bytes += bytes;
        let asked: HashSet<Digest> = missing.into_iter().collect();
        let expected = 2 * asked.len();
        let (is_uploading, commit) = (false, None);
        let share = Share { since: now, asked, expected, goes_on, is_uploading, contents, commit, bytes };
        nodes.shares.insert(node, share);
    }

    /// Keeps the commit that names this root with what was asked for because of it, so that it need not be sent again.
    /// `false`: it is too large, or there is no room; it will have to come again.
    pub fn keep_commit(&self, node: Uuid, root: Digest, commit: Commit) -> bool {
        let bytes = commit.encoded_len();
        let mut nodes = self.lock();
        let full = bytes > MAX_COMMIT_BYTES || nodes.bytes + bytes > MAX_BYTES;
        let Some(share) = nodes.shares.get_mut(&node).filter(|share| !full && share.commit.is_none()) else {
            return false;
        };
        share.commit = Some((root, commit));
        share.bytes += bytes;
        nodes.bytes += bytes;
        true
    }

    /// The commit of this node that is kept, if it names this root.
    pub fn commit(&self, node: Uuid, root: Digest) -> Option<Commit> {
        let nodes = self.lock();
        let kept = nodes.shares.get(&node)?.commit.as_ref().filter(|(of, _)| *of == root);
        kept.map(|(_, commit)| commit.clone())
    }

    /// Whether a check-in belongs to the one before, which asked for contents. Once.
    pub fn goes_on(&self, node: Uuid) -> bool {
        self.lock().shares.get_mut(&node).is_some_and(|share| std::mem::take(&mut share.goes_on))
    }

    /// An upload of this node begins, and ends when what is returned is dropped.
    pub fn begin(&self, node: Uuid) -> Result<Upload<'_>, Refusal> {
        let mut nodes = self.lock();
        let share = nodes.shares.get_mut(&node).ok_or(Refusal::NotAsked)?;
        if std::mem::replace(&mut share.is_uploading, true) {
            return Err(Refusal::Twice);
        }
        Ok(Upload { waiting: self, node })
    }

    /// One more content comes: whether it can be one that the node was asked for.
    pub fn expect(&self, node: Uuid) -> Result<(), Refusal> {
        let mut nodes = self.lock();
        let share = nodes.shares.get_mut(&node).ok_or(Refusal::NotAsked)?;
        share.expected = share.expected.checked_sub(1).ok_or(Refusal::NotAsked)?;
        Ok(())
    }

    /// Keeps a content of so many canonical bytes.
    pub fn put(&self, node: Uuid, content: Content, bytes: usize, now: Instant) -> Result<(), Refusal> {
        let digest = content.digest();
        let bytes = bytes + FACT_BYTES * content.section().facts().len();
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
        share.contents.insert(digest, Kept { content, bytes });
        share.bytes += bytes;
        nodes.bytes += bytes;
        Ok(())
    }

    /// A content that this node has put.
    pub fn find(&self, node: Uuid, digest: Digest) -> Option<Content> {
        self.lock().shares.get(&node)?.contents.get(&digest).map(|kept| kept.content.clone())
    }

    /// The node's check-in is answered: nothing of it waits any more.
    pub fn forget(&self, node: Uuid) {
        self.lock().forget(node);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that is under way.
#[derive(Debug)]
pub struct Upload<'a> {
    waiting: &'a Waiting,
    node: Uuid,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if let Some(share) = self.waiting.lock().shares.get_mut(&self.node) {
            share.is_uploading = false;
        }
    }
}

impl Nodes {
    /// Gives what had come.
    fn forget(&mut self, node: Uuid) -> HashMap<Digest, Kept> {
        let Some(share) = self.shares.remove(&node) else { return HashMap::new() };
        self.bytes -= share.bytes;
        share.contents
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
    use std::sync::Arc;

    use evenkeel_facts::SectionBuilder;

    fn section(name: &str) -> Content {
        Arc::new(SectionBuilder::new(name).finish()).into()
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
            waiting.ask(
                Uuid::from_u128(node),
                names.map(|name| section(name).digest()),
                &HashSet::new(),
                true,
                now,
            );
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
            waiting.ask(Uuid::from_u128(node), [section("a").digest()], &HashSet::new(), true, now);
            assert_eq!(put(&waiting, node, "a", MAX_BYTES_OF_NODE, now), Ok(()));
        }
        let later = now + PATIENCE;
        waiting.ask(Uuid::from_u128(9), [section("a").digest()], &HashSet::new(), true, later);
        assert_eq!(put(&waiting, 9, "a", 1, later), Ok(()));
    }

    /// Promise: a node sends what it was asked for, once more if need be, in one upload at a time; and a check-in that
    /// was asked for contents goes on once.
    #[test]
    fn what_is_expected_is_bounded() {
        let (waiting, node, now) = (Waiting::default(), Uuid::from_u128(1), Instant::now());
        assert_eq!(waiting.begin(node).unwrap_err(), Refusal::NotAsked);
        waiting.ask(node, [section("a").digest()], &HashSet::new(), true, now);
        let upload = waiting.begin(node).unwrap();
        assert_eq!(waiting.begin(node).unwrap_err(), Refusal::Twice);
        drop(upload);
        let _again = waiting.begin(node).unwrap();
        assert_eq!((waiting.expect(node), waiting.expect(node)), (Ok(()), Ok(())));
        assert_eq!(waiting.expect(node), Err(Refusal::NotAsked));
        assert_eq!((waiting.goes_on(node), waiting.goes_on(node)), (true, false));
    }

    /// Promise: what a check-in said holds behind the contents that it was asked for, for the state that it spoke of; and
    /// it takes its room from the node's share.
    #[test]
    fn what_was_said_is_kept_with_what_was_asked_for() {
        let (waiting, node, now) = (Waiting::default(), Uuid::from_u128(1), Instant::now());
        let [root, other] = ["a", "b"].map(|name| section(name).digest());
        let commit = |host: &str| Commit { host: host.to_owned(), ..Commit::default() };
        assert!(!waiting.keep_commit(node, root, commit("web-1")), "nothing was asked for");
        let ask = || waiting.ask(node, [root], &HashSet::new(), true, now);
        ask();
        assert!(!waiting.keep_commit(node, root, commit(&"x".repeat(MAX_COMMIT_BYTES))));
        assert!(waiting.keep_commit(node, root, commit("web-1")));
        assert_eq!(waiting.commit(node, root), Some(commit("web-1")));
        assert_eq!((waiting.commit(node, other), waiting.commit(Uuid::from_u128(2), root)), (None, None));
        assert_eq!(waiting.lock().bytes, commit("web-1").encoded_len());
        ask();
        assert_eq!((waiting.commit(node, root), waiting.lock().bytes), (None, 0));
    }

    /// Promise: a node whose upload was cut off, and that changed meanwhile, gets through: what it has sent and still names
    /// is not asked for again, and counts.
    #[test]
    fn what_came_and_is_named_again_is_kept() {
        let (waiting, node, now) = (Waiting::default(), Uuid::from_u128(1), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(|name| section(name).digest());
        waiting.ask(node, [a, b], &HashSet::new(), true, now);
        assert_eq!((put(&waiting, 1, "a", 5, now), put(&waiting, 1, "b", 7, now)), (Ok(()), Ok(())));
        waiting.ask(node, [c], &HashSet::from([a]), true, now);
        assert!(waiting.find(node, b).is_none());
        assert_eq!(put(&waiting, 1, "c", 1, now), Ok(()));
        assert!(waiting.find(node, a).is_some() && waiting.find(node, c).is_some());
        assert_eq!(waiting.lock().bytes, 6);
        waiting.forget(node);
        assert_eq!(waiting.lock().bytes, 0);
    }
}
