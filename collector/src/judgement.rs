//! What people say of drift, as the journal tells it: the policy in force, what is signed off, baselines.

use std::collections::{BTreeMap, HashMap};
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
use uuid::Uuid;

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
        let sections: Vec<Arc<Section>> =
            sections.iter().map(|section| find(section.digest)).collect::<Result<_, _>>()?;
        let node = |frozen: &FrozenNode| {
            let FrozenNode { node, environment, host, role, sections: places } = frozen;
            let own = places.iter().filter_map(|place| sections.get(*place as usize)).map(Arc::clone);
            let view = Node {
                id: node.to_string().into(),
                name: host.as_str().into(),
                environment: 0,
                role: role.as_str().into(),
                fresh: true,
                sections: own.collect(),
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
            each(Part::Entry(baseline.created, Entry::BaselineCreated(baseline.entry())))?;
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

impl Baseline {
    fn entry(&self) -> BaselineCreated {
        let mut sections = Vec::new();
        let mut places: HashMap<Digest, u32> = HashMap::new();
        let mut node = |(environment, node): &(Arc<str>, Arc<Node>)| {
            let place = |section: &Arc<Section>| {
                *places.entry(section.digest()).or_insert_with(|| {
                    sections
                        .push(SectionDigest { name: section.name().to_owned(), digest: section.digest() });
                    u32::try_from(sections.len() - 1).unwrap_or(u32::MAX)
                })
            };
            FrozenNode {
                node: Uuid::parse_str(&node.id).unwrap_or_default(),
                environment: environment.to_string(),
                host: node.name.to_string(),
                role: node.role.to_string(),
                sections: node.sections.iter().map(place).collect(),
            }
        };
        let nodes = self.nodes.iter().map(&mut node).collect();
        BaselineCreated {
            name: self.name.clone(),
            from: self.from.clone(),
            as_of: self.as_of,
            sections,
            nodes,
            policy: self.text.clone(),
            by: self.by.clone(),
        }
    }
}

/// A policy was read before it was written down; a text that cannot be read any more is damage, or of a newer version.
fn parse(text: &str) -> Result<Policy, StoreError> {
    Policy::parse(text).map_err(|error| StoreError::Damaged(format!("a policy in the journal: {error}")))
}
