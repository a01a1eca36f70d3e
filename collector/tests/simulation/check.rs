//! What must hold at every moment: the journal, replayed by a few obvious lines, against what was answered, what the
//! machines were, and what the collector serves.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_collector::state::State;
use evenkeel_drift::report::{Kind, State as Seen};
use evenkeel_drift::{Policy, Query, evaluate};
use evenkeel_facts::{Digest, Observation, Section, SectionDigest, root_digest};
use evenkeel_store::entry::{Committed, Presence};
use evenkeel_store::{Entry, Reader, StoreError};
use jiff::Timestamp;
use uuid::Uuid;

use crate::collector::{Collector, ENVIRONMENTS};
use crate::host::Host;

/// A node as the journal tells it.
#[derive(Default)]
struct Stored {
    sections: BTreeMap<String, Digest>,
    last: Option<(u64, u64)>,
    roots: Vec<Digest>,
    fresh: bool,
}

/// Everything. `answered` is the root of each node's last answer that said: durable.
pub(crate) fn holds(
    collector: &Collector,
    hosts: &[Host],
    answered: &BTreeMap<Uuid, Digest>,
    now: Timestamp,
) -> Result<(), String> {
    let stored = replay(collector.reader())?;
    let state = collector.state();
    for host in hosts {
        let empty = Stored::default();
        let stored = stored.get(&host.id).unwrap_or(&empty);
        let head = stored.roots.last();
        if let Some(root) = answered.get(&host.id).filter(|root| head != Some(*root)) {
            return Err(format!("P1: {} was told that {root} is durable, stored is {head:?}", host.name));
        }
        // An agent of another version is a commit, too, of the same state.
        let mut roots = stored.roots.clone();
        roots.dedup();
        let mut seen = host.seen.iter();
        if let Some(root) = roots.iter().find(|root| !seen.any(|seen| seen == *root)) {
            return Err(format!("P4: {} was never {root}, or not at that place of its history", host.name));
        }
        served_is_stored(&state, host, stored)?;
    }
    findings_are_explained(collector.reader(), &state, hosts, &stored, now)
}

/// The obvious replay. Commits that break the order, that repeat one, or that are not what their root says, are found here.
fn replay(reader: &Reader) -> Result<BTreeMap<Uuid, Stored>, String> {
    let mut nodes: BTreeMap<Uuid, Stored> = BTreeMap::new();
    let mut wrong = None;
    let each = |record: evenkeel_store::Record| {
        match record.entry {
            Entry::Committed(committed) => {
                let node = nodes.entry(committed.node).or_default();
                wrong = wrong.take().or_else(|| node.commit(committed).err());
            }
            Entry::Presence(Presence { node, fresh, .. }) => nodes.entry(node).or_default().fresh = fresh,
            _ => {}
        }
        Ok::<_, StoreError>(())
    };
    reader.replay(0, each).map_err(|error| error.to_string())?;
    wrong.map_or(Ok(nodes), Err)
}

impl Stored {
    fn commit(&mut self, committed: Committed) -> Result<(), String> {
        let Committed { node, boot_epoch, sequence, root, changed, removed, labels, .. } = committed;
        let place = (boot_epoch, sequence);
        if self.last >= Some(place) {
            return Err(format!("P3: {node} went from {:?} to {place:?}", self.last));
        }
        if self.fresh && labels.is_none() && self.roots.last() == Some(&root) {
            return Err(format!("P3: {node} is {root} twice, with nothing in between"));
        }
        for name in removed {
            self.sections.remove(&name);
        }
        self.sections.extend(changed.into_iter().map(|SectionDigest { name, digest }| (name, digest)));
        let named =
            |(name, digest): (&String, &Digest)| SectionDigest { name: name.clone(), digest: *digest };
        if root_digest(&self.sections.iter().map(named).collect::<Vec<_>>()) != root {
            return Err(format!("P4: {node} at {place:?} is not what its root says"));
        }
        (self.last, self.fresh) = (Some(place), true);
        self.roots.push(root);
        Ok(())
    }

    /// The contents, as the store has them.
    fn contents(&self, reader: &Reader) -> Result<Vec<Section>, String> {
        let content = |(name, digest): (&String, &Digest)| match reader.section(*digest) {
            Ok(Some(section)) if section.name() == name => Ok(section),
            Ok(Some(section)) => Err(format!("P4: {name} holds {}", section.name())),
            Ok(None) => Err(format!("P1: the content {digest} of {name} is missing")),
            Err(error) => Err(format!("P6: {error}")),
        };
        self.sections.iter().map(content).collect()
    }
}

/// What is served of a node is what is stored of it.
fn served_is_stored(state: &State, host: &Host, stored: &Stored) -> Result<(), String> {
    let node = state.node(host.id).ok_or("a node is gone")?;
    let head = node.head.map(|head| ((head.boot_epoch, head.sequence), head.root));
    if head != stored.last.zip(stored.roots.last().copied()) {
        return Err(format!("P1: {}: served is {head:?}, stored is {:?}", host.name, stored.last));
    }
    let served: BTreeMap<String, Digest> = node
        .view
        .sections
        .iter()
        .map(|section| (section.name().to_owned(), Digest::of(&section.encode())))
        .collect();
    if served != stored.sections || node.view.fresh != stored.fresh {
        return Err(format!("P4: {}: what is served is not what is stored", host.name));
    }
    Ok(())
}

/// Every row of every finding counts what is stored; and where all of an environment differs from all of prod, that is
/// found.
fn findings_are_explained(
    reader: &Reader,
    state: &State,
    hosts: &[Host],
    stored: &BTreeMap<Uuid, Stored>,
    now: Timestamp,
) -> Result<(), String> {
    // Path, environment, value: how many nodes.
    let mut counts: BTreeMap<String, BTreeMap<&str, BTreeMap<String, u64>>> = BTreeMap::new();
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for host in hosts {
        let Some(stored) = stored.get(&host.id).filter(|stored| stored.fresh) else { continue };
        *sizes.entry(host.environment).or_default() += 1;
        for section in stored.contents(reader)?.iter().filter(|section| section.name() != "identity") {
            for (path, seen) in section.facts() {
                let Observation::Present(value) = seen else { continue };
                let of_path = counts.entry(path.to_string()).or_default();
                *of_path.entry(host.environment).or_default().entry(value.to_string()).or_default() += 1;
            }
        }
    }
    let count = |path: &str, environment: &str, value: &str| {
        counts.get(path).and_then(|of| of.get(environment)).and_then(|of| of.get(value)).copied().unwrap_or(0)
    };
    let policy = Policy::default_policy();
    let query = Query { all: true, ..Query::default() };
    let report = evaluate(&state.fleet(now), &policy, &query, now);
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for finding in &report.findings {
        found.insert(&finding.path);
        found.extend(finding.parts.iter().map(|part| part.path.as_str()));
        if finding.kind == Kind::Duplicate {
            return Err(format!("P4: two machines with one identity were never there: {}", finding.summary));
        }
        for row in finding.values.iter().filter(|row| row.state == Seen::Present) {
            let Some(value) = &row.value else { continue };
            let stored = count(&finding.path, &row.environment, value);
            if counts.contains_key(&finding.path) && stored != row.nodes {
                let (path, environment) = (&finding.path, &row.environment);
                return Err(format!(
                    "P4: {path}: {} nodes of {environment} with {value}, stored are {stored}",
                    row.nodes
                ));
            }
        }
    }
    let Some(reference) =
        ENVIRONMENTS.iter().rev().find(|name| hosts.iter().any(|h| h.environment == **name))
    else {
        return Ok(());
    };
    for (path, of_path) in &counts {
        let only = |environment: &str| {
            let values = of_path.get(environment)?;
            let (value, nodes) = values.first_key_value().filter(|_| values.len() == 1)?;
            (sizes.get(environment) == Some(nodes)).then_some(value)
        };
        let Some(held) = only(reference) else { continue };
        for environment in ENVIRONMENTS {
            let differs = only(environment).is_some_and(|value| value != held);
            if differs && policy.verdict(path).is_compared() && !found.contains(path.as_str()) {
                return Err(format!("P4: {path} of {environment} differs, and no finding says so"));
            }
        }
    }
    Ok(())
}
