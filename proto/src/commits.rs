//! What a commit names: all sections, or what changed against a state that the collector holds.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{Delta, Digest, Section, SectionDigest, root_digest};

use crate::fleet::{Commit, SectionDelta};
use crate::{Malformed, contents};

/// A section is sent as a delta if at most one in so many of its facts changed.
const WORTHWHILE: usize = 2;
/// The most bytes of all deltas of one commit, decompressed: what changes more is sent whole.
const MAX_DELTA_BYTES: usize = 256 * 1024;

/// A state that the collector has acknowledged to this node.
#[derive(Debug, Clone)]
pub struct Base {
    root: Digest,
    sections: Vec<SectionDigest>,
    /// Contents of it that were replaced since: what deltas begin from.
    replaced: Vec<Arc<Section>>,
}

impl Base {
    /// The state with these sections.
    pub fn new(sections: Vec<SectionDigest>) -> Self {
        Self { root: root_digest(&sections), sections, replaced: Vec::new() }
    }

    /// Its root digest.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The node has another section of this name now, or none. Kept if the collector holds it.
    pub fn replace(&mut self, old: Arc<Section>) {
        let is_old = |named: &&SectionDigest| named.name == old.name();
        let held = self.sections.iter().find(is_old).is_some_and(|named| named.digest == old.digest());
        if held && !self.replaced.iter().any(|kept| kept.name() == old.name()) {
            self.replaced.push(old);
        }
    }

    /// What a commit says of these sections, which are the node's now: only what changed.
    pub fn name_changes<'a>(&self, sections: impl Iterator<Item = &'a Section> + Clone) -> Commit {
        let held: HashMap<&str, Digest> =
            self.sections.iter().map(|named| (named.name.as_str(), named.digest)).collect();
        let changed = sections.clone().filter(|section| held.get(section.name()) != Some(&section.digest()));
        let named = changed.clone().map(|section| contents::name_to_wire(section.name(), section.digest()));
        let gone =
            self.sections.iter().filter(|named| sections.clone().all(|section| section.name() != named.name));
        Commit {
            sections: named.collect(),
            base: self.root.as_bytes().to_vec(),
            removed: gone.map(|named| named.name.clone()).collect(),
            deltas: self.deltas(changed),
            ..Commit::default()
        }
    }

    fn deltas<'a>(&self, changed: impl Iterator<Item = &'a Section>) -> Vec<SectionDelta> {
        let mut room = MAX_DELTA_BYTES;
        let mut deltas = Vec::new();
        for section in changed {
            let Some(base) = self.replaced.iter().find(|old| old.name() == section.name()) else { continue };
            let delta = Delta::between(base, section);
            let bytes = delta.encode();
            if delta.len() * WORTHWHILE <= section.facts().len() && bytes.len() <= room {
                room -= bytes.len();
                deltas.push(SectionDelta {
                    digest: section.digest().as_bytes().to_vec(),
                    base: base.digest().as_bytes().to_vec(),
                    zstd: contents::compress(&bytes),
                });
            }
        }
        deltas
    }
}

/// A delta that came, to be applied to the section with the digest `base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBase {
    /// The digest of the section that it is to be applied to.
    pub base: Digest,
    /// What changed.
    pub delta: Delta,
}

/// The deltas of a commit, by the digest of what they give.
pub fn deltas_from_wire(deltas: &[SectionDelta]) -> Result<HashMap<Digest, OnBase>, Malformed> {
    let mut room = MAX_DELTA_BYTES;
    let mut one = |SectionDelta { digest, base, zstd }: &SectionDelta| {
        let digest = contents::digest_from_wire("deltas.digest", digest)?;
        let base = contents::digest_from_wire("deltas.base", base)?;
        let refuse = |why: String| Malformed::new("deltas.zstd", why);
        let bytes = contents::decompress_up_to(room, zstd).map_err(|error| refuse(error.to_string()))?;
        room -= bytes.len();
        let delta = Delta::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
        Ok((digest, OnBase { base, delta }))
    };
    deltas.iter().map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::{FactPath, SectionBuilder};

    fn section(name: &str, values: &[i64]) -> Section {
        let mut section = SectionBuilder::new(name);
        for (at, value) in values.iter().enumerate() {
            section.present(FactPath::known(&format!("{name}.key{at}")), *value);
        }
        section.finish()
    }

    fn digests(sections: &[Section]) -> Vec<SectionDigest> {
        let one =
            |section: &Section| SectionDigest { name: section.name().to_owned(), digest: section.digest() };
        sections.iter().map(one).collect()
    }

    #[test]
    fn only_what_changed_is_named() {
        let old = [section("a", &[1, 2, 3]), section("b", &[1]), section("c", &[1])];
        let new = [section("a", &[1, 7, 3]), section("b", &[1]), section("d", &[1])];
        let mut base = Base::new(digests(&old));
        base.replace(Arc::new(old[0].clone()));
        // What the collector never held is nothing to begin from.
        base.replace(Arc::new(section("a", &[1, 5, 3])));
        base.replace(Arc::new(old[2].clone()));
        let commit = base.name_changes(new.iter());
        let names: Vec<_> = commit.sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!((names, commit.removed), (vec!["a", "d"], vec!["c".to_owned()]));
        assert_eq!(commit.base, root_digest(&digests(&old)).as_bytes());
        let deltas = deltas_from_wire(&commit.deltas).unwrap();
        let OnBase { base, delta } = &deltas[&new[0].digest()];
        assert_eq!((deltas.len(), *base), (1, old[0].digest()));
        assert_eq!(delta.apply(&old[0], new[0].digest()).as_ref(), Some(&new[0]));
    }

    #[test]
    fn a_section_that_is_mostly_new_is_sent_whole() {
        let old = [section("a", &[1, 2, 3])];
        let mut base = Base::new(digests(&old));
        base.replace(Arc::new(old[0].clone()));
        assert_eq!(base.name_changes([section("a", &[1, 7, 8])].iter()).deltas, []);
    }

    #[test]
    fn a_malformed_delta_is_refused() {
        let digest = Digest::of(b"x").as_bytes().to_vec();
        let delta = SectionDelta { digest: digest.clone(), base: digest, zstd: contents::compress(b"x") };
        assert_eq!(
            deltas_from_wire(&[delta]).unwrap_err().to_string(),
            "the message is malformed: deltas.zstd: not canonical: no delta header of version 1 at byte 0"
        );
    }
}
