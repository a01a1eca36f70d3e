//! A node's sections at one moment.

use jiff::Timestamp;

use crate::digest::Digest;
use crate::observation::{Observation, Reason};
use crate::section::{Section, source_of};

/// What a node was at one moment: a small tree of sections, as in git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When the sweep began, by the node's clock.
    pub taken_at: Timestamp,
    /// The version of the agent that took it.
    pub agent: String,
    /// The host name: a label, never an identity.
    pub host: String,
    /// The environment, where it is known (an enrolled agent).
    pub environment: Option<String>,
    /// The role; empty by default.
    pub role: String,
    /// By name, each name once.
    pub sections: Vec<Section>,
}

/// A section's name and address: what a snapshot's root is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SectionDigest {
    /// The section's name.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

impl Snapshot {
    /// Names and digests of the sections, by name.
    pub fn section_digests(&self) -> Vec<SectionDigest> {
        let mut digests: Vec<_> = self
            .sections
            .iter()
            .map(|section| SectionDigest { name: section.name().to_owned(), digest: section.digest() })
            .collect();
        digests.sort();
        digests
    }

    /// The address of the whole. Host name, role and time are not part of it: equal machines have equal roots but
    /// for their `identity` section.
    pub fn root(&self) -> Digest {
        root_digest(&self.section_digests())
    }

    /// What this snapshot says of a path.
    pub fn observe(&self, path: &str) -> Observation {
        observe(self.sections.iter(), path)
    }
}

/// The root digest of a list of sections: over `"evenkeel.snapshot/1\0"`, then for each section in order of name its
/// name, a zero byte and the 32 bytes of its digest.
pub fn root_digest(sections: &[SectionDigest]) -> Digest {
    let mut bytes = b"evenkeel.snapshot/1\0".to_vec();
    let mut ordered: Vec<_> = sections.iter().collect();
    ordered.sort();
    for section in ordered {
        bytes.extend_from_slice(section.name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(section.digest.as_bytes());
    }
    Digest::of(&bytes)
}

/// What a set of sections says of a path that is not known to belong to a certain section.
///
/// Noted: that. Not noted, but an unreadable path covers it: unreadable for the same reason. Else absent, if any
/// section of the path's source is there; else not collected.
pub fn observe<'a>(sections: impl Iterator<Item = &'a Section> + Clone, path: &str) -> Observation {
    let mut of_source = false;
    let mut covered = None;
    let head = path.split(['.', '[']).next().unwrap_or(path);
    for section in sections {
        if let Some(observation) = section.find(path) {
            return observation.clone();
        }
        of_source |= source_of(section.name()) == head
            || section.facts().iter().any(|(p, _)| p.as_str().starts_with(head));
        for (at, observation) in section.facts() {
            if let Observation::Unreadable(reason) = observation
                && at.covers(path)
            {
                covered = Some(*reason);
            }
        }
    }
    match (covered, of_source) {
        (Some(reason), _) => Observation::Unreadable(reason),
        (None, true) => Observation::Absent,
        (None, false) => Observation::Unreadable(Reason::NotCollected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FactPath, SectionBuilder};

    #[test]
    fn root_depends_on_contents_not_on_order() {
        let section = |name: &str| SectionDigest { name: name.into(), digest: Digest::of(name.as_bytes()) };
        assert_eq!(root_digest(&[section("a"), section("b")]), root_digest(&[section("b"), section("a")]));
        assert_ne!(root_digest(&[section("a")]), root_digest(&[section("b")]));
    }

    #[test]
    fn cannot_tell_is_not_absent() {
        let mut sysctl = SectionBuilder::new("sysctl");
        sysctl.unreadable(FactPath::known("sysctl.net"), Reason::Permission);
        let sections = [sysctl.finish()];
        let see = |path| observe(sections.iter(), path);
        assert_eq!(see("sysctl.net.core.somaxconn"), Observation::Unreadable(Reason::Permission));
        assert_eq!(see("sysctl.vm.swappiness"), Observation::Absent);
        assert_eq!(see("os.id"), Observation::Unreadable(Reason::NotCollected));
    }
}
