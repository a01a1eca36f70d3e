//! What people say of drift, as the journal tells it: the policy in force, what is signed off, baselines.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_drift::acceptance::{Acceptance, Known, Subject};
use evenkeel_drift::{Node, Policy};
use evenkeel_facts::{Digest, Glob, Section, SectionDigest};
use evenkeel_store::checkpoint::Part;
use evenkeel_store::entry::{
    Accepted, AcceptedFinding, BaselineCreated, FrozenNode, PolicyApplied, Unaccepted,
};
use evenkeel_store::{Entry, StoreError};
use jiff::Timestamp;

/// What people say of drift.
#[derive(Debug, Clone)]
pub struct Judgement {
    policy: Arc<Policy>,
    /// As it was applied; empty: the policy that ships.
    text: String,
    /// The newest version of each name.
    versions: BTreeMap<String, u32>,
    acceptances: Vec<Signed>,
    /// The same, as the engine reads them.
    shared: Arc<[Acceptance]>,
    baselines: BTreeMap<String, Baseline>,
}

/// An acceptance, and who gave it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What is accepted, by whom it is owned, why, until when.
    pub acceptance: Acceptance,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Something frozen that others are held against.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// What it is called.
    pub name: String,
    /// What it was made from.
    pub from: String,
    /// The moment that it shows.
    pub as_of: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub by: String,
    /// Its nodes, with the environment of each.
    pub nodes: Vec<(Arc<str>, Arc<Node>)>,
    /// Instead of nodes: what it expects.
    pub expectations: Option<Arc<Policy>>,
    /// As it was written; empty: there are nodes.
    pub text: String,
    /// The contents that the store lost: its nodes that had one are stale.
    damaged: Vec<Digest>,
    /// As it was made.
    created_as: Arc<BaselineCreated>,
}

impl Default for Judgement {
    fn default() -> Self {
        let policy = Policy::default_policy();
        Self {
            versions: BTreeMap::from([(policy.name().to_owned(), policy.version())]),
            policy: Arc::new(policy),
            text: String::new(),
            acceptances: Vec::new(),
            shared: Arc::default(),
            baselines: BTreeMap::new(),
        }
    }
}

impl Judgement {
    /// The policy in force.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its text.
    pub fn policy_text(&self) -> &str {
        if self.text.is_empty() { Policy::default_text() } else { &self.text }
    }

    /// The version that a policy of this name and version gets when it is applied: its own, or the next free one.
    pub fn next_version(&self, name: &str, version: u32) -> u32 {
        self.versions.get(name).map_or(version, |last| version.max(last.saturating_add(1)))
    }

    /// What the engine reads.
    pub fn acceptances(&self) -> Arc<[Acceptance]> {
        Arc::clone(&self.shared)
    }

    /// Every acceptance that nobody ended, the oldest first.
    pub fn signed(&self) -> &[Signed] {
        &self.acceptances
    }

    /// Every baseline, by name.
    pub fn baselines(&self) -> impl Iterator<Item = &Baseline> {
        self.baselines.values()
    }

    /// Contents that baselines have and the store lost, and the names of those baselines.
    pub fn damaged(&self) -> BTreeMap<Digest, Vec<String>> {
        let mut all: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for baseline in self.baselines.values() {
            for digest in &baseline.damaged {
                all.entry(*digest).or_default().push(baseline.name.clone());
            }
        }
        all
    }

    /// One baseline.
    pub fn baseline(&self, name: &str) -> Option<&Baseline> {
        self.baselines.get(name)
    }

    pub(crate) fn applied(&mut self, applied: &PolicyApplied) -> Result<(), StoreError> {
        let PolicyApplied { text, version, by: _ } = applied;
        let policy = parse(text)?.with_version(*version);
        self.versions.insert(policy.name().to_owned(), *version);
        (self.policy, self.text) = (Arc::new(policy), text.clone());
        Ok(())
    }

    pub(crate) fn accepted(&mut self, accepted: &Accepted, at: Timestamp) {
        let Accepted { id, findings, paths, owner, reason, until, by } = accepted.clone();
        let known = |AcceptedFinding { id, path, values }| Known {
            finding: id,
            path,
            values: values.into_iter().collect(),
        };
        let subject = if paths.is_empty() {
            Subject::Findings(findings.into_iter().map(known).collect())
        } else {
            Subject::Paths(Glob::new(&paths))
        };
        let acceptance = Acceptance { id, subject, owner, reason, until };
        self.acceptances.push(Signed { acceptance, by, at });
        self.share();
    }

    pub(crate) fn unaccepted(&mut self, Unaccepted { id, by: _ }: &Unaccepted) {
        self.acceptances.retain(|signed| signed.acceptance.id != *id);
        self.share();
    }

    pub(crate) fn kept(
        &mut self,
        created: &BaselineCreated,
        at: Timestamp,
        find: &mut dyn FnMut(Digest) -> Result<Arc<Section>, StoreError>,
    ) -> Result<(), StoreError> {
        let BaselineCreated { name, from, as_of, sections, nodes, policy, by } = created;
        let mut damaged = Vec::new();
        let mut look = |section: &SectionDigest| match find(section.digest) {
            Err(StoreError::DamagedSection { digest, .. }) => {
                damaged.push(digest);
                Ok(None)
            }
            found => found.map(Some),
        };
        let sections: Vec<Option<Arc<Section>>> = sections.iter().map(&mut look).collect::<Result<_, _>>()?;
        let node = |frozen: &FrozenNode| {
            let FrozenNode { node, environment, host, role, sections: places } = frozen;
            let own = places.iter().filter_map(|place| sections.get(*place as usize));
            let view = Node {
                id: node.to_string().into(),
                name: host.as_str().into(),
                environment: 0,
                role: role.as_str().into(),
                // Of a node that is not whole nothing is said.
                fresh: own.clone().all(Option::is_some),
                sections: own.flatten().map(Arc::clone).collect(),
                since: *as_of,
                changed: Arc::default(),
                holders: None,
            };
            (Arc::from(environment.as_str()), Arc::new(view))
        };
        let expectations = if policy.is_empty() { None } else { Some(Arc::new(parse(policy)?)) };
        let baseline = Baseline {
            name: name.clone(),
            from: from.clone(),
            as_of: *as_of,
            created: at,
            by: by.clone(),
            nodes: nodes.iter().map(node).collect(),
            expectations,
            text: policy.clone(),
            damaged,
            created_as: Arc::new(created.clone()),
        };
        self.baselines.insert(name.clone(), baseline);
        Ok(())
    }

    pub(crate) fn forgotten(&mut self, name: &str) {
        self.baselines.remove(name);
    }

    fn share(&mut self) {
        self.shared = self.acceptances.iter().map(|signed| signed.acceptance.clone()).collect();
    }
}

/// For checkpoints.
impl Judgement {
    pub(crate) fn parts<E>(&self, each: &mut impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        if !self.text.is_empty() {
            let applied =
                PolicyApplied { text: self.text.clone(), version: self.policy.version(), by: String::new() };
            each(Part::Entry(Timestamp::UNIX_EPOCH, Entry::PolicyApplied(applied)))?;
        }
        for (name, version) in &self.versions {
            each(Part::Version(name.clone(), *version))?;
        }
        for signed in &self.acceptances {
            each(Part::Entry(signed.at, Entry::Accepted(signed.entry())))?;
        }
        for baseline in self.baselines.values() {
            let created = BaselineCreated::clone(&baseline.created_as);
            each(Part::Entry(baseline.created, Entry::BaselineCreated(created)))?;
        }
        Ok(())
    }

    pub(crate) fn put_version(&mut self, name: String, version: u32) {
        self.versions.insert(name, version);
    }
}

impl Signed {
    fn entry(&self) -> Accepted {
        let Acceptance { id, subject, owner, reason, until } = self.acceptance.clone();
        let known = |Known { finding, path, values }| AcceptedFinding {
            id: finding,
            path,
            values: values.into_iter().collect(),
        };
        let (findings, paths) = match subject {
            Subject::Findings(findings) => (findings.into_iter().map(known).collect(), String::new()),
            Subject::Paths(glob) => (Vec::new(), glob.as_str().to_owned()),
        };
        Accepted { id, findings, paths, owner, reason, until, by: self.by.clone() }
    }
}

/// A policy was read before it was written down; a text that cannot be read any more is damage, or of a newer version.
fn parse(text: &str) -> Result<Policy, StoreError> {
    Policy::parse(text).map_err(|error| StoreError::Damaged(format!("a policy in the journal: {error}")))
}
