//! The sections that a commit names: all of them, or what changed against the state that the collector holds of the
//! node; and the contents that deltas give.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use evenkeel_facts::snapshot_file::MAX_SECTIONS;
use evenkeel_facts::{Digest, Section, SectionDigest, root_digest};
use evenkeel_proto::commits::{OnBase, deltas_from_wire};
use evenkeel_proto::fleet::{self, SectionDelta};
use evenkeel_proto::{Malformed, contents};
use evenkeel_runtime::seeded::{self, Bug};

use crate::state::{NodeState, State};

/// A delta is applied on the thread that answers: not to a section of more facts.
const MAX_FACTS_OF_BASE: usize = 20_000;

/// Every section of a commit, by name, and the deltas that came with it.
#[derive(Debug)]
pub struct Named {
    /// All sections.
    pub sections: Vec<SectionDigest>,
    deltas: HashMap<Digest, OnBase>,
    /// Contents that came with the commit.
    own: HashMap<Digest, Arc<Section>>,
}

/// What a commit says of its sections, as it came.
#[derive(Debug)]
pub struct Said {
    /// All sections, or those that changed.
    pub sections: Vec<fleet::SectionDigest>,
    /// The root that they changed against; empty: none.
    pub base: Vec<u8>,
    /// The names of those that are gone.
    pub removed: Vec<String>,
    /// What turns old contents into new ones.
    pub deltas: Vec<SectionDelta>,
}

/// What the collector holds of a node: changes begin from it.
#[derive(Debug, Default)]
pub struct Held {
    /// The root of its newest commit, if all that it names is held.
    root: Option<Digest>,
    sections: Vec<Arc<Section>>,
}

impl Held {
    /// Contents are shared: it costs little to take it out of the state.
    pub fn of(node: &NodeState) -> Self {
        let root = node.head.filter(|_| node.is_whole()).map(|head| head.root);
        Self { root, sections: node.view.sections.clone() }
    }
}

impl Named {
    /// The sections of a commit whose root is to be `root`. `None`: it begins from a state that is not the node's here.
    pub fn of(held: &Held, root: Digest, said: Said) -> Result<Option<Self>, Malformed> {
        let Said { sections, base, removed, deltas } = said;
        let mut sections = section_digests(sections)?;
        let deltas = deltas_from_wire(&deltas)?;
        if !base.is_empty() {
            let base = contents::digest_from_wire("base", &base)?;
            if held.root != Some(base) && !seeded::has(Bug::WrongBase) {
                return Ok(None);
            }
            sections = changed(&held.sections, sections, &removed);
        }
        if root_digest(&sections) != root && !seeded::has(Bug::WrongBase) {
            return Err(Malformed::new("root", "it is not the root of the sections"));
        }
        Ok(Some(Self { sections, deltas, own: HashMap::new() }))
    }

    /// With the contents that came with the commit.
    pub fn with_own(self, own: &[u8]) -> Result<Self, Malformed> {
        let own = contents::own_from_wire(own)?.into_iter();
        Ok(Self { own: own.map(|section| (section.digest(), Arc::new(section))).collect(), ..self })
    }

    /// The section with this digest, if it came with the commit.
    pub fn own(&self, digest: Digest) -> Option<Arc<Section>> {
        self.own.get(&digest).map(Arc::clone)
    }

    /// What the section with this digest is to be made of, if a delta came for it and its base is at hand.
    pub fn ingredients(&self, state: &State, digest: Digest) -> Option<(Arc<Section>, &OnBase)> {
        let delta = self.deltas.get(&digest)?;
        Some((state.content(delta.base)?, delta))
    }
}

/// The section with this digest, if it can be made of these ingredients; else it is asked for as a whole.
pub fn make(digest: Digest, base: &Section, OnBase { base: _, delta }: &OnBase) -> Option<Section> {
    if seeded::has(Bug::DigestNotChecked) {
        return delta.applied(base);
    }
    (base.facts().len() <= MAX_FACTS_OF_BASE).then(|| delta.apply(base, digest)).flatten()
}

fn changed(held: &[Arc<Section>], named: Vec<SectionDigest>, removed: &[String]) -> Vec<SectionDigest> {
    let mut sections: BTreeMap<String, Digest> =
        held.iter().map(|section| (section.name().to_owned(), section.digest())).collect();
    sections.extend(named.into_iter().map(|SectionDigest { name, digest }| (name, digest)));
    for name in removed {
        sections.remove(name);
    }
    sections.into_iter().map(|(name, digest)| SectionDigest { name, digest }).collect()
}

fn section_digests(sections: Vec<fleet::SectionDigest>) -> Result<Vec<SectionDigest>, Malformed> {
    if sections.len() > MAX_SECTIONS {
        return Err(Malformed::new("sections", format!("more than {MAX_SECTIONS}")));
    }
    let mut digests = Vec::with_capacity(sections.len());
    for section in sections {
        let digest = contents::digest_from_wire("sections.digest", &section.digest)?;
        digests.push(SectionDigest { name: section.name, digest });
    }
    digests.sort();
    match digests.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(Malformed::new("sections", format!("{} stands twice", pair[0].name))),
        None => Ok(digests),
    }
}
