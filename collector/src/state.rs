//! The collector's state: what the journal says, in memory. A pure function of a journal prefix, but for when a node
//! was last heard, which is a label.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use evenkeel_drift::fleet::{self, Fleet, Node};
use evenkeel_drift::nodes::{Nodes, Place};
use evenkeel_facts::{Digest, Section};
use evenkeel_runtime::identity::Identity;
use evenkeel_store::entry::{
    BaselineDeleted, Committed, Enrolled, Entry, EnvironmentsOrdered, Holder, Labels, NodeCloned, NodeLeft,
    NodeSingle, NodeUnbanned, Presence, TokenCreated, TokenRevoked,
};
use evenkeel_store::{Record, StoreError};
use jiff::Timestamp;
use uuid::Uuid;

use crate::access::Peer;
use crate::alerts::told::Log;
use crate::changes::{self, Lost};
use crate::judgement::Judgement;
use crate::people::People;
use crate::volatility::Volatility;

mod node;
mod parts;

pub use parts::Load;

/// Everything, at one position of the journal.
#[derive(Debug)]
pub struct State {
    /// The position of the last entry applied.
    pub journal: u64,
    environments: Vec<Arc<str>>,
    /// Whether they are the journal's: until it says which there are, they are those of the configuration.
    has_order: bool,
    nodes: HashMap<Uuid, NodeState>,
    /// What the drift engine reads: the views of nodes whose environment is one of these.
    index: Nodes,
    left: HashMap<Uuid, Left>,
    tokens: HashMap<String, TokenState>,
    /// Who was let in, and who was sent away.
    pub people: People,
    judgement: Judgement,
    /// What receivers of alerts were told.
    pub alerts: Log,
    volatility: Volatility,
    contents: HashMap<Digest, Weak<Section>>,
    started: Instant,
}

/// A node as the journal tells it.
#[derive(Debug)]
pub struct NodeState {
    /// Its identity.
    pub id: Uuid,
    /// Its environment.
    pub environment: Arc<str>,
    /// Its agent's version.
    pub agent: String,
    /// What people want to see beside its name.
    pub shown: BTreeMap<String, String>,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// SHA-256 of its public key; empty where it is not known.
    key: Vec<u8>,
    /// Whether its certificates come from another authority than the collector's own.
    pub is_certified_elsewhere: bool,
    /// What the drift engine reads of it: name, role, sections. It is fresh when it was heard within its deadline, and
    /// never before its first commit.
    pub view: Arc<Node>,
    /// Where the view stands in the index; `None`: its environment is not one of those that are configured.
    place: Option<Place>,
    /// What cannot be read of it now.
    lost: Lost,
    /// Contents that it has and the store lost, by the section's name: it is not judged until it has sent them again.
    damaged: BTreeMap<String, Digest>,
    /// Its newest commit, if it has one.
    pub head: Option<Head>,
    /// When it was last heard, in milliseconds since 1970; 0: not since the collector started. A label.
    last_seen: AtomicI64,
    /// The same by the clock that only goes on, in milliseconds since the collector started: this decides.
    heard_at: AtomicU64,
    /// The latest boot epoch heard of, also in unchanged check-ins.
    epoch_heard: AtomicU64,
    /// The latest boot epoch in which an instance spoke, whatever was answered.
    epoch_spoken: AtomicU64,
    /// The instance of the agent that was heard last; 0: not since the collector started.
    instance: AtomicU64,
    /// Which roots and issuer it has said it holds; 0: not since the collector started.
    mark: AtomicU64,
}

/// A node's newest commit.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Counts the starts of its agent.
    pub boot_epoch: u64,
    /// Counts its commits within the boot epoch.
    pub sequence: u64,
    /// The digest of all sections.
    pub root: Digest,
    /// When it was taken in.
    pub changed_at: Timestamp,
}

/// A node that was sent away.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// Its identity, which is never given again.
    pub id: Uuid,
    /// As it was called last.
    pub name: String,
    /// Its environment.
    pub environment: Arc<str>,
    /// SHA-256 of its public key; empty where it is not known.
    key: Vec<u8>,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// When it was sent away.
    pub at: Timestamp,
    /// Whether it may not come back.
    pub banned: bool,
    /// Why; may be empty.
    pub reason: String,
    /// Who sent it away.
    pub by: String,
}

impl Left {
    /// The sentence for whoever still speaks with its certificate.
    pub fn sentence(&self) -> String {
        let Self { name, environment, at, banned, by, .. } = self;
        if *banned {
            format!("node {name} of {environment} was banned at {at:.0} by {by}")
        } else {
            format!("node {name} of {environment} was evicted at {at:.0} by {by}: enrol it again")
        }
    }
}

/// A token as the journal tells it.
#[derive(Debug, Clone)]
pub struct TokenState {
    /// As it was made.
    pub created: TokenCreated,
    /// When it was made.
    pub at: Timestamp,
    /// How many nodes have enrolled with it.
    pub used: u32,
    /// Who ended it.
    pub revoked_by: Option<String>,
}

impl State {
    /// The state of an empty journal. Nodes that are fresh after the replay count as heard at `started`.
    pub fn new(environments: &[String], started: Instant) -> Self {
        Self {
            journal: 0,
            environments: environments.iter().map(|name| Arc::from(name.as_str())).collect(),
            has_order: false,
            nodes: HashMap::new(),
            index: Nodes::default(),
            left: HashMap::new(),
            tokens: HashMap::new(),
            people: People::default(),
            judgement: Judgement::default(),
            alerts: Log::default(),
            volatility: Volatility::default(),
            contents: HashMap::new(),
            started,
        }
    }

    /// The environments in order of promotion.
    pub fn environments(&self) -> &[Arc<str>] {
        &self.environments
    }

    /// What the journal has to be told where these are the configured environments; `None`: it knows.
    pub fn news_of_order(&self, configured: &[Arc<str>]) -> Option<EnvironmentsOrdered> {
        let names = |all: &[Arc<str>]| all.iter().map(ToString::to_string).collect();
        let before = if self.has_order { self.environments.as_slice() } else { &[] };
        (before != configured)
            .then(|| EnvironmentsOrdered { names: names(configured), before: names(before) })
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.values()
    }

    /// One node.
    pub fn node(&self, id: Uuid) -> Option<&NodeState> {
        self.nodes.get(&id)
    }

    /// Every node that was sent away.
    pub fn left(&self) -> impl Iterator<Item = &Left> {
        self.left.values()
    }

    /// One node that was sent away.
    pub fn left_node(&self, id: Uuid) -> Option<&Left> {
        self.left.get(&id)
    }

    /// The ban that keeps a machine with this key, or of this name in this environment, from enrolling.
    pub fn ban_of(&self, key: &[u8], environment: &str, name: &str) -> Option<&Left> {
        self.left.values().filter(|left| left.banned).find(|left| {
            !key.is_empty() && left.key == key || *left.environment == *environment && left.name == name
        })
    }

    /// Every token.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenState> {
        self.tokens.values()
    }

    /// One token.
    pub fn token(&self, id: &str) -> Option<&TokenState> {
        self.tokens.get(id)
    }

    /// Why this peer is refused whatever it calls, though its certificate was good: it was sent away. Asked on every
    /// call, as a session that goes on is not verified again.
    pub fn refusal(&self, peer: &Peer) -> Option<String> {
        match peer {
            Peer::Node { id, .. } | Peer::Lapsed { identity: Identity::Node { id, .. }, .. } => {
                self.left_node(*id).map(Left::sentence)
            }
            Peer::User { name, certified: Some(given), .. }
            | Peer::Lapsed { identity: Identity::User { name, .. }, given, .. } => {
                self.people.refusal(name, *given)
            }
            Peer::User { certified: None, .. } | Peer::Anonymous => None,
        }
    }

    /// A content that some node's newest commit names.
    pub fn content(&self, digest: Digest) -> Option<Arc<Section>> {
        self.contents.get(&digest).and_then(Weak::upgrade)
    }

    /// How many distinct contents the nodes' newest commits name.
    pub fn distinct_contents(&self) -> usize {
        self.contents.values().filter(|content| content.strong_count() > 0).count()
    }

    /// Applies the next entry. `load` finds contents that the state does not hold; it must know those of a commit that
    /// was just appended.
    pub fn apply(
        &mut self,
        record: &Record,
        load: &mut dyn FnMut(Digest) -> Result<Arc<Section>, StoreError>,
    ) -> Result<(), StoreError> {
        let Record { position, at, entry } = record;
        match entry {
            Entry::Enrolled(enrolled) => self.enrolled(enrolled, *at),
            Entry::Committed(committed) => self.committed(committed, *at, load)?,
            Entry::Presence(Presence { node, fresh, last_seen: _ }) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    let is_whole = node.is_whole();
                    node.change(&mut self.index, |view| view.fresh = *fresh && is_whole);
                }
            }
            Entry::TokenCreated(created) => {
                let token = TokenState { created: created.clone(), at: *at, used: 0, revoked_by: None };
                self.tokens.insert(created.id.clone(), token);
            }
            Entry::TokenRevoked(TokenRevoked { id, by }) => {
                if let Some(token) = self.tokens.get_mut(id) {
                    token.revoked_by = Some(by.clone());
                }
            }
            Entry::NodeLeft(left) => self.leave(left, *at),
            Entry::NodeUnbanned(NodeUnbanned { node, by: _ }) => {
                if let Some(left) = self.left.get_mut(node) {
                    left.banned = false;
                }
            }
            Entry::NodeCloned(NodeCloned { node, holders }) => self.held_by(*node, holders, *at),
            Entry::NodeSingle(NodeSingle { node }) => self.held_by(*node, &[], *at),
            Entry::UserInvited(invited) => self.people.invited(invited, *at),
            Entry::UserCertified(certified) => self.people.certified(certified, *at),
            Entry::UserRevoked(revoked) => self.people.revoked(revoked, *at),
            Entry::PolicyApplied(applied) => self.judgement.applied(applied)?,
            Entry::Accepted(accepted) => self.judgement.accepted(accepted, *at),
            Entry::Unaccepted(unaccepted) => self.judgement.unaccepted(unaccepted),
            Entry::BaselineCreated(created) => {
                let contents = &mut self.contents;
                let find = &mut |digest: Digest| {
                    let known = contents.get(&digest).and_then(Weak::upgrade);
                    let section = known.map_or_else(|| load(digest), Ok)?;
                    contents.insert(digest, Arc::downgrade(&section));
                    Ok(section)
                };
                self.judgement.kept(created, *at, find)?;
            }
            Entry::BaselineDeleted(BaselineDeleted { name, by: _ }) => self.judgement.forgotten(name),
            Entry::Alerted(alerted) => self.alerts.alerted(alerted, *at),
            Entry::EnvironmentsOrdered(EnvironmentsOrdered { names, before: _ }) => self.ordered(names),
            Entry::AuthorityMoved(_) => {}
        }
        self.journal = *position;
        Ok(())
    }

    /// What people say of drift.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The view that the drift engine reads at a moment. It costs nothing, and stays as it is while the state goes on.
    /// Nodes of environments that are no longer configured are not part of it.
    pub fn fleet(&self, now: Timestamp) -> Fleet {
        Fleet {
            journal: self.journal,
            environments: self.environments.clone(),
            nodes: self.index.clone(),
            unique: true,
            acceptances: self.judgement.acceptances(),
            quarantined: Arc::new(self.volatility.quarantined(now)),
            changes: self.volatility.changes(now),
        }
    }

    /// The first moment after `now` at which fewer changes of facts count as recent, if no more are taken in.
    pub fn calmer_at(&self, now: Timestamp) -> Timestamp {
        self.volatility.calmer_at(now)
    }

    /// Nodes of environments that are no more stay, and are seen again when theirs is back.
    fn ordered(&mut self, names: &[String]) {
        self.environments = names.iter().map(|name| Arc::from(name.as_str())).collect();
        self.has_order = true;
        self.index = Nodes::default();
        for node in self.nodes.values_mut() {
            let environment = self.environments.iter().position(|known| *known == node.environment);
            Arc::make_mut(&mut node.view).environment = environment.unwrap_or(usize::MAX);
            node.place = environment.map(|_| self.index.insert(Arc::clone(&node.view)));
        }
    }

    fn enrolled(&mut self, enrolled: &Enrolled, at: Timestamp) {
        let Enrolled { node: id, environment, host, role, token, labels, key } = enrolled;
        if let Some(token) = self.tokens.get_mut(token) {
            token.used += 1;
        }
        let among = self.environments.iter().position(|known| **known == **environment);
        let view = Arc::new(Node {
            id: id.to_string().into(),
            name: host.as_str().into(),
            environment: among.unwrap_or(usize::MAX),
            role: role.as_str().into(),
            fresh: false,
            sections: Vec::new(),
            since: at,
            changed: Arc::default(),
            holders: None,
        });
        if let Some(place) = self.nodes.get(id).and_then(|before| before.place) {
            self.index.remove(place);
        }
        let node = NodeState {
            id: *id,
            environment: among
                .map_or_else(|| environment.as_str().into(), |at| Arc::clone(&self.environments[at])),
            agent: String::new(),
            shown: labels.clone(),
            enrolled: at,
            key: key.clone(),
            is_certified_elsewhere: token.starts_with("pki:"),
            place: among.map(|_| self.index.insert(Arc::clone(&view))),
            view,
            lost: Lost::default(),
            damaged: BTreeMap::new(),
            head: None,
            last_seen: AtomicI64::new(0),
            heard_at: AtomicU64::new(0),
            epoch_heard: AtomicU64::new(0),
            epoch_spoken: AtomicU64::new(0),
            instance: AtomicU64::new(0),
            mark: AtomicU64::new(0),
        };
        self.left.remove(id);
        self.nodes.insert(*id, node);
    }

    /// A node that was evicted may be banned later, too.
    fn leave(&mut self, NodeLeft { node, banned, reason, by }: &NodeLeft, at: Timestamp) {
        let (banned, reason, by) = (*banned, reason.clone(), by.clone());
        let left = match (self.nodes.remove(node), self.left.remove(node)) {
            (Some(node), _) => {
                let NodeState { id, environment, enrolled, key, view, place, .. } = node;
                let name = view.name.to_string();
                if let Some(place) = place {
                    self.index.remove(place);
                }
                Left { id, name, environment, key, enrolled, at, banned, reason, by }
            }
            // Only lifting a ban ends it: an eviction that comes late does not.
            (None, Some(left)) if left.banned && !banned => left,
            (None, Some(left)) => Left { at, banned, reason, by, ..left },
            (None, None) => return,
        };
        self.left.insert(*node, left);
    }

    fn held_by(&mut self, node: Uuid, holders: &[Holder], at: Timestamp) {
        let Some(node) = self.nodes.get_mut(&node) else { return };
        let names: Vec<String> = holders.iter().map(Holder::to_string).collect();
        node.change(&mut self.index, |view| {
            // One more of them is no new clone.
            let since = view.holders.as_ref().map_or(at, |before| before.since);
            view.holders = (!names.is_empty()).then(|| Arc::new(fleet::Holders { names, since }));
        });
    }

    fn committed(
        &mut self,
        committed: &Committed,
        at: Timestamp,
        load: &mut dyn FnMut(Digest) -> Result<Arc<Section>, StoreError>,
    ) -> Result<(), StoreError> {
        let Committed { node, boot_epoch, sequence, taken_at: _, root, changed, removed, labels, authors: _ } =
            committed;
        let Some(state) = self.nodes.get_mut(node) else { return Ok(()) };
        // What comes back from damage was not away: the node said it all along.
        let was_damaged: Vec<String> = state.damaged().map(str::to_owned).collect();
        for name in removed {
            state.damaged.remove(name);
        }
        let (mut news, mut lost_by_store) = (Vec::with_capacity(changed.len()), Vec::new());
        for change in changed {
            let new = match self.contents.get(&change.digest).and_then(Weak::upgrade) {
                Some(content) => content,
                None => match load(change.digest) {
                    Err(StoreError::DamagedSection { .. }) => {
                        state.damaged.insert(change.name.clone(), change.digest);
                        lost_by_store.push(&*change.name);
                        continue;
                    }
                    loaded => loaded?,
                },
            };
            state.damaged.remove(&change.name);
            self.contents.insert(change.digest, Arc::downgrade(&new));
            news.push((&*change.name, new));
        }
        let is_whole = state.is_whole();
        let (first, volatility) = (state.head.is_none(), &mut self.volatility);
        let mut lost = std::mem::take(&mut state.lost);
        state.change(&mut self.index, |view| {
            if first {
                view.since = at;
            }
            let since = view.since;
            // What the first commit says is no change.
            let mut note = |old: Option<&Section>, new: Option<&Section>, changed: &mut Arc<_>| {
                changes::between(old, new, |path, _, _| volatility.note(at, *node, path));
                lost.note((old, new), at, since, Arc::make_mut(changed));
            };
            for name in removed {
                if let Ok(index) = view.sections.binary_search_by(|section| section.name().cmp(name)) {
                    let old = view.sections.remove(index);
                    note(Some(&old), None, &mut view.changed);
                }
            }
            view.sections.retain(|section| !lost_by_store.contains(&section.name()));
            for (name, new) in news {
                match view.sections.binary_search_by(|section| section.name().cmp(name)) {
                    Ok(index) => {
                        note(Some(&view.sections[index]), Some(&new), &mut view.changed);
                        view.sections[index] = new;
                    }
                    Err(index) => {
                        if !first && !was_damaged.iter().any(|damaged| damaged == name) {
                            note(None, Some(&new), &mut view.changed);
                        }
                        view.sections.insert(index, new);
                    }
                }
            }
            if let Some(Labels { host, role, agent: _ }) = labels {
                (view.name, view.role) = (host.as_str().into(), role.as_str().into());
            }
            view.fresh = is_whole;
        });
        state.lost = lost;
        if let Some(labels) = labels {
            state.agent.clone_from(&labels.agent);
        }
        state.epoch_heard.fetch_max(*boot_epoch, Ordering::Relaxed);
        state.head = Some(Head { boot_epoch: *boot_epoch, sequence: *sequence, root: *root, changed_at: at });
        self.forget_unused_contents();
        Ok(())
    }

    /// Names of contents that no node has any more cost memory: sweep them when they may be half of all.
    fn forget_unused_contents(&mut self) {
        if self.contents.len() == self.contents.capacity() {
            self.contents.retain(|_, content| content.strong_count() > 0);
        }
    }

    /// Contents that nodes have and the store lost, and the names of those nodes.
    pub fn damaged(&self) -> BTreeMap<Digest, Vec<String>> {
        let mut all: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for node in self.nodes.values() {
            for digest in node.damaged.values() {
                all.entry(*digest).or_default().push(node.view.name.to_string());
            }
        }
        all
    }

    /// For how long the node was not heard, at most since the start.
    pub fn silent_for(&self, node: &NodeState, now: Instant) -> Duration {
        let heard = Duration::from_millis(node.heard_at.load(Ordering::Relaxed));
        now.duration_since(self.started).saturating_sub(heard)
    }

    /// Whether the collector runs for so long: what was before its start it cannot tell from silence.
    pub fn is_running_for(&self, time: Duration, now: Instant) -> bool {
        now.duration_since(self.started) > time
    }

    /// The node was heard now, in this boot epoch.
    pub fn heard(&self, node: &NodeState, boot_epoch: u64) {
        let since_start = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        node.heard_at.fetch_max(since_start, Ordering::Relaxed);
        node.last_seen.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        node.epoch_heard.fetch_max(boot_epoch, Ordering::Relaxed);
    }
}
