//! What turns one section into another of the same name: the facts that are new or different, and the paths that are
//! gone. It travels instead of the section where the other side holds the one before.
//!
//! ```text
//! delta = "evenkeel.delta/1\0" varint(paths that are gone) text(path)* varint(facts) fact*
//! ```
//!
//! Paths and facts are in order, as in a section ([`encoding`]). What comes out is believed only if it has the digest
//! that was named: a delta on another base gives nothing.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::encoding::{self, DecodeError, Reader};
use crate::{Digest, FactPath, Observation, Section};

const MAGIC: &[u8] = b"evenkeel.delta/1\0";

/// What turns one section into another of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// The paths that the new section says nothing of any more.
    gone: Vec<FactPath>,
    /// What is new or different.
    noted: Vec<(FactPath, Observation)>,
}

impl Delta {
    /// What turns `base` into `new`.
    pub fn between(base: &Section, new: &Section) -> Self {
        let mut delta = Self::default();
        let mut old = base.facts().iter().peekable();
        for fact in new.facts() {
            while let Some((path, _)) = old.next_if(|(path, _)| *path < fact.0) {
                delta.gone.push(path.clone());
            }
            if old.next_if(|(path, _)| *path == fact.0) != Some(fact) {
                delta.noted.push(fact.clone());
            }
        }
        delta.gone.extend(old.map(|(path, _)| path.clone()));
        delta
    }

    /// The new section; `None` if what comes out is not the section with this digest.
    pub fn apply(&self, base: &Section, digest: Digest) -> Option<Section> {
        self.applied(base).filter(|section| section.digest() == digest)
    }

    /// What comes out, whatever its digest; `None` if it is no section that can be held.
    pub fn applied(&self, base: &Section) -> Option<Section> {
        let Self { gone, noted } = self;
        let mut facts = Vec::with_capacity(base.facts().len() + noted.len());
        let (mut gone, mut noted) = (gone.iter().peekable(), noted.iter().peekable());
        for fact in base.facts() {
            facts.extend(before(&mut noted, &fact.0).cloned());
            match noted.next_if(|(path, _)| *path == fact.0) {
                Some(new) => facts.push(new.clone()),
                None if gone.next_if(|path| **path == fact.0).is_some() => {}
                None => facts.push(fact.clone()),
            }
        }
        facts.extend(noted.cloned());
        let section = Section::of_facts(base.name(), facts)?;
        (section.encode().len() <= encoding::MAX_SECTION_BYTES).then_some(section)
    }

    /// How many facts it speaks of.
    pub fn len(&self) -> usize {
        self.gone.len() + self.noted.len()
    }

    /// Whether the two sections are the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { gone, noted } = self;
        let mut out = Vec::with_capacity(64 + 48 * self.len());
        out.extend_from_slice(MAGIC);
        encoding::put_varint(&mut out, gone.len() as u64);
        for path in gone {
            encoding::put_text(&mut out, path.as_str());
        }
        encoding::put_varint(&mut out, noted.len() as u64);
        for (path, observation) in noted {
            encoding::put_fact(&mut out, path, observation);
        }
        out
    }

    /// The delta that these canonical bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::behind(MAGIC, bytes, "no delta header of version 1")?;
        // The shortest path has two bytes: a length and one character.
        let gone = (0..reader.count(2)?).map(|_| reader.path()).collect::<Result<Vec<_>, _>>()?;
        let noted = reader.facts()?;
        reader.end()?;
        let ordered = gone.is_sorted_by(|a, b| a < b) && noted.is_sorted_by(|a, b| a.0 < b.0);
        if ordered { Ok(Self { gone, noted }) } else { Err(reader.error("paths out of order")) }
    }
}

/// The facts that come before this path.
fn before<'a, 'b>(
    facts: &'b mut Peekable<impl Iterator<Item = &'a (FactPath, Observation)>>,
    path: &'b FactPath,
) -> impl Iterator<Item = &'a (FactPath, Observation)> {
    std::iter::from_fn(move || facts.next_if(|(at, _)| at.cmp(path) == Ordering::Less))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SectionBuilder;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn section(facts: impl IntoIterator<Item = (String, i64)>) -> Section {
        let mut section = SectionBuilder::new("sysctl.net");
        for (path, value) in facts {
            section.present(FactPath::known(&path), value);
        }
        section.finish()
    }

    fn any_section() -> impl Strategy<Value = Section> {
        btree_map("[a-f]{1,2}", 0..3_i64, 0..24).prop_map(section)
    }

    #[test]
    fn one_changed_fact_is_a_few_bytes() {
        let facts =
            |value| (0..1_000).map(move |at| (format!("net.key{at:04}"), if at == 7 { value } else { 0 }));
        let (base, new) = (section(facts(0)), section(facts(4096)));
        let delta = Delta::between(&base, &new);
        assert_eq!((delta.len(), delta.encode().len()), (1, 34));
        assert_eq!(delta.apply(&base, new.digest()).as_ref(), Some(&new));
        assert_eq!(delta.apply(&base, base.digest()), None);
        assert!(Delta::between(&base, &base).is_empty());
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = Delta::between(&section([]), &section([("a".into(), 1), ("b".into(), 2)])).encode();
        for end in 0..bytes.len() {
            assert!(Delta::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let facts: Vec<_> =
            section([("a".into(), 1), ("b".into(), 2)]).facts().iter().rev().cloned().collect();
        let turned = Delta { gone: vec![], noted: facts }.encode();
        assert_eq!(Delta::decode(&turned).unwrap_err().what, "paths out of order");
        let lying = [MAGIC, &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        assert_eq!(Delta::decode(&lying).unwrap_err().what, "a count of facts that cannot be");
    }

    proptest! {
        /// Promise: a delta that travelled gives the new section, byte for byte.
        #[test]
        fn base_and_delta_are_the_new_section(base in any_section(), new in any_section()) {
            let delta = Delta::between(&base, &new);
            let arrived = Delta::decode(&delta.encode()).unwrap();
            prop_assert_eq!(&arrived, &delta);
            let made = arrived.apply(&base, new.digest()).unwrap();
            prop_assert_eq!(made.encode(), new.encode());
        }

        /// Promise: on any other base it gives the same section or none.
        #[test]
        fn a_wrong_base_is_never_accepted(base in any_section(), new in any_section(), other in any_section()) {
            let made = Delta::between(&base, &new).apply(&other, new.digest());
            prop_assert!(made.is_none_or(|made| made.encode() == new.encode()));
        }

        #[test]
        fn whatever_comes_is_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [MAGIC, &bytes].concat();
            if let Ok(delta) = Delta::decode(&bytes) {
                prop_assert_eq!(delta.encode(), bytes);
            }
        }
    }
}
