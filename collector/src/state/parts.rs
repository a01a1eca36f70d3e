//! A state taken apart, and put together again: for checkpoints. What is put together is what was taken apart, so that
//! state is a function of a checkpoint and the entries behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use evenkeel_drift::fleet::{Holders, Node};
use evenkeel_facts::{Digest, FactPath, Section, SectionDigest};
use evenkeel_store::checkpoint::{LeftPart, NodePart, Part};
use evenkeel_store::entry::{Entry, EnvironmentsOrdered, Labels, TokenRevoked};
use evenkeel_store::{Checkpoint, Reader, Record, StoreError};
use jiff::Timestamp;

use super::{Head, Left, NodeState, State};
use crate::changes::Lost;

/// Finds a content.
pub type Load<'a> = dyn FnMut(Digest) -> Result<Arc<Section>, StoreError> + 'a;

impl State {
    /// Makes an empty state what the journal says up to `last`: from the newest checkpoint that is not behind it, or from
    /// the begin.
    pub fn replay(&mut self, reader: &Reader, last: u64, load: &mut Load<'_>) -> Result<(), StoreError> {
        reader.steadily(|| {
            let mut checkpoints = reader.checkpoints()?;
            let base = reader.base()?;
            checkpoints.retain(|checkpoint| checkpoint.position <= last);
            // A damaged one is passed over where what it stands for is still there.
            while let Some(checkpoint) = checkpoints.pop() {
                match reader.parts(checkpoint, |_| Ok::<_, StoreError>(())) {
                    Ok(()) => {
                        self.restore(reader, checkpoint, load)?;
                        break;
                    }
                    Err(error) if checkpoint.position <= base => return Err(error),
                    Err(_) => {}
                }
            }
            reader.replay_to(self.journal, last, |record| self.apply(&record, load))
        })
    }

    /// Makes an empty state what it was when this checkpoint was made.
    pub(crate) fn restore(
        &mut self,
        reader: &Reader,
        checkpoint: Checkpoint,
        load: &mut Load<'_>,
    ) -> Result<(), StoreError> {
        reader.parts(checkpoint, |part| self.put(part, load))?;
        self.journal = checkpoint.position;
        Ok(())
    }

    /// The same state, apart from labels, to be looked at while this one goes on. Contents are shared.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            journal: self.journal,
            environments: self.environments.clone(),
            has_order: self.has_order,
            nodes: self.nodes.iter().map(|(id, node)| (*id, node.copy())).collect(),
            index: self.index.clone(),
            left: self.left.clone(),
            tokens: self.tokens.clone(),
            people: self.people.clone(),
            judgement: self.judgement.clone(),
            alerts: self.alerts.clone(),
            volatility: self.volatility.clone(),
            contents: HashMap::new(),
            started: self.started,
        }
    }

    /// Hands out every part, in an order that depends on nothing else than the state.
    pub fn parts<E>(&self, mut each: impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        if self.has_order {
            let names = self.environments.iter().map(ToString::to_string).collect();
            let ordered = EnvironmentsOrdered { names, before: Vec::new() };
            each(Part::Entry(Timestamp::UNIX_EPOCH, Entry::EnvironmentsOrdered(ordered)))?;
        }
        for (_, node) in sorted(&self.nodes) {
            each(Part::Node(Box::new(node.part())))?;
        }
        for (_, left) in sorted(&self.left) {
            each(Part::Left(left.part()))?;
        }
        for (id, token) in sorted(&self.tokens) {
            each(Part::Entry(token.at, Entry::TokenCreated(token.created.clone())))?;
            each(Part::Used(id.clone(), token.used))?;
            if let Some(by) = &token.revoked_by {
                let revoked = TokenRevoked { id: id.clone(), by: by.clone() };
                each(Part::Entry(token.at, Entry::TokenRevoked(revoked)))?;
            }
        }
        self.people.parts(&mut each)?;
        self.judgement.parts(&mut each)?;
        self.alerts.parts(&mut each)?;
        self.volatility.parts(&mut each)
    }

    fn put(&mut self, part: Part, load: &mut Load<'_>) -> Result<(), StoreError> {
        match part {
            Part::Entry(at, entry) => self.apply(&Record { position: 0, at, entry }, load)?,
            Part::Node(node) => self.put_node(*node, load)?,
            Part::Left(LeftPart { node: id, name, environment, key, enrolled, at, banned, reason, by }) => {
                let environment = self.environment(&environment).1;
                self.left.insert(id, Left { id, name, environment, key, enrolled, at, banned, reason, by });
            }
            Part::Used(id, used) => {
                if let Some(token) = self.tokens.get_mut(&id) {
                    token.used = used;
                }
            }
            Part::Version(name, version) => self.judgement.put_version(name, version),
            Part::User(user) => self.people.put_user(user),
            Part::Invitation(invited, used, revoked) => self.people.put_invitation(invited, used, revoked),
            Part::Changes(at, node, paths) => {
                for path in paths {
                    self.volatility.put(at, node, known(&path)?);
                }
            }
        }
        Ok(())
    }

    fn put_node(&mut self, node: NodePart, load: &mut Load<'_>) -> Result<(), StoreError> {
        let NodePart {
            node: id,
            environment,
            labels: Labels { host, role, agent },
            shown,
            enrolled,
            key,
            is_certified_elsewhere,
            fresh,
            since,
            holders,
            held_since,
            sections,
            head,
            changed,
            lost: (lost, lost_since),
        } = node;
        let (among, environment) = self.environment(&environment);
        let (mut own, mut damaged) = (Vec::with_capacity(sections.len()), BTreeMap::new());
        for named in &sections {
            match self.held(named, load) {
                Err(StoreError::DamagedSection { .. }) => {
                    damaged.insert(named.name.clone(), named.digest);
                }
                held => own.push(held?),
            }
        }
        let sections = own;
        let own = |path: &str| {
            let find = |section: &Arc<Section>| {
                let at = section.facts().binary_search_by(|(known, _)| known.as_str().cmp(path)).ok()?;
                Some(section.facts()[at].0.clone())
            };
            // Of the section that it stands in: one allocation for all nodes that share it.
            sections.iter().find_map(find).map_or_else(|| known(path), Ok)
        };
        let changed: HashMap<FactPath, Timestamp> =
            changed.iter().map(|(path, at)| Ok((own(path)?, *at))).collect::<Result<_, StoreError>>()?;
        let view = Arc::new(Node {
            id: id.to_string().into(),
            name: host.as_str().into(),
            environment: among,
            role: role.as_str().into(),
            fresh: fresh && damaged.is_empty(),
            sections,
            since,
            changed: Arc::new(changed),
            holders: (!holders.is_empty()).then(|| Arc::new(Holders { names: holders, since: held_since })),
        });
        let head = head.map(|(boot_epoch, sequence, root, changed_at)| Head {
            boot_epoch,
            sequence,
            root,
            changed_at,
        });
        let node = NodeState {
            id,
            environment,
            agent,
            shown,
            enrolled,
            key,
            is_certified_elsewhere,
            place: (among < self.environments.len()).then(|| self.index.insert(Arc::clone(&view))),
            view,
            lost: Lost::put(&lost, &lost_since).map_err(StoreError::Damaged)?,
            damaged,
            head,
            last_seen: AtomicI64::new(0),
            heard_at: AtomicU64::new(0),
            epoch_heard: AtomicU64::new(head.map_or(0, |head| head.boot_epoch)),
            epoch_spoken: AtomicU64::new(0),
            instance: AtomicU64::new(0),
            mark: AtomicU64::new(0),
        };
        self.nodes.insert(id, node);
        self.forget_unused_contents();
        Ok(())
    }

    /// Where an environment stands in the order, and its one name.
    fn environment(&self, name: &str) -> (usize, Arc<str>) {
        match self.environments.iter().position(|known| **known == *name) {
            Some(place) => (place, Arc::clone(&self.environments[place])),
            None => (usize::MAX, name.into()),
        }
    }

    fn held(&mut self, named: &SectionDigest, load: &mut Load<'_>) -> Result<Arc<Section>, StoreError> {
        let held = self.contents.get(&named.digest).and_then(Weak::upgrade);
        let section = held.map_or_else(|| load(named.digest), Ok)?;
        self.contents.insert(named.digest, Arc::downgrade(&section));
        Ok(section)
    }
}

impl NodeState {
    fn copy(&self) -> Self {
        let heard = |of: &AtomicU64| AtomicU64::new(of.load(Ordering::Relaxed));
        Self {
            id: self.id,
            environment: Arc::clone(&self.environment),
            agent: self.agent.clone(),
            shown: self.shown.clone(),
            enrolled: self.enrolled,
            key: self.key.clone(),
            is_certified_elsewhere: self.is_certified_elsewhere,
            view: Arc::clone(&self.view),
            place: self.place,
            lost: self.lost.clone(),
            damaged: self.damaged.clone(),
            head: self.head,
            last_seen: AtomicI64::new(self.last_seen.load(Ordering::Relaxed)),
            heard_at: heard(&self.heard_at),
            epoch_heard: heard(&self.epoch_heard),
            epoch_spoken: heard(&self.epoch_spoken),
            instance: heard(&self.instance),
            mark: heard(&self.mark),
        }
    }

    fn part(&self) -> NodePart {
        let view = &self.view;
        let mut changed: Vec<_> = view.changed.iter().map(|(path, at)| (path.to_string(), *at)).collect();
        changed.sort();
        let named = |section: &Arc<Section>| SectionDigest {
            name: section.name().to_owned(),
            digest: section.digest(),
        };
        let mut sections: Vec<_> = view.sections.iter().map(named).collect();
        let lost = self.damaged.iter();
        sections.extend(lost.map(|(name, digest)| SectionDigest { name: name.clone(), digest: *digest }));
        sections.sort();
        NodePart {
            node: self.id,
            environment: self.environment.to_string(),
            labels: self.labels(),
            shown: self.shown.clone(),
            enrolled: self.enrolled,
            key: self.key.clone(),
            is_certified_elsewhere: self.is_certified_elsewhere,
            fresh: view.fresh,
            since: view.since,
            holders: self.holders().to_vec(),
            held_since: view.holders.as_ref().map_or(Timestamp::UNIX_EPOCH, |holders| holders.since),
            sections,
            head: self.head.map(|head| (head.boot_epoch, head.sequence, head.root, head.changed_at)),
            changed,
            lost: self.lost.part(),
        }
    }
}

impl Left {
    fn part(&self) -> LeftPart {
        let Self { id, name, environment, key, enrolled, at, banned, reason, by } = self.clone();
        LeftPart {
            node: id,
            name,
            environment: environment.to_string(),
            key,
            enrolled,
            at,
            banned,
            reason,
            by,
        }
    }
}

fn sorted<K: Ord, V>(map: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by_key(|(key, _)| *key);
    all
}

fn known(path: &str) -> Result<FactPath, StoreError> {
    FactPath::new(path).map_err(|error| StoreError::Damaged(format!("a path in a checkpoint: {error}")))
}

#[cfg(test)]
mod tests;
