//! All observations of one source.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::digest::Digest;
use crate::encoding;
use crate::observation::{MAX_VALUE_BYTES, Observation, Reason, Value};
use crate::path::FactPath;

/// All observations of one source (or of one part of it), in canonical order: by path, each path once.
///
/// A section is named like its source (`kernel`), or `SOURCE.PART` (`sysctl.net`).
#[derive(Debug, Clone)]
pub struct Section {
    name: Arc<str>,
    /// Shared: copies of a section are cheap.
    facts: Arc<[(FactPath, Observation)]>,
    /// Taken when it is first asked for: a section never changes.
    digest: OnceLock<Digest>,
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, facts, digest: _ } = self;
        *name == other.name && *facts == other.facts
    }
}

impl Eq for Section {}

impl Section {
    /// Takes facts that are already in order, and the digest of their canonical bytes; `None` if a path is out of order
    /// or stands twice.
    pub(crate) fn from_ordered(
        name: &str,
        facts: Vec<(FactPath, Observation)>,
        digest: Digest,
    ) -> Option<Self> {
        Some(Self::of_facts(name, facts)?.with_digest(digest))
    }

    /// The same, whose canonical bytes are known to have this digest.
    pub(crate) fn with_digest(self, digest: Digest) -> Self {
        Self { digest: OnceLock::from(digest), ..self }
    }

    /// Takes facts that are already in order; `None` if a path is out of order or stands twice.
    pub(crate) fn of_facts(name: &str, facts: Vec<(FactPath, Observation)>) -> Option<Self> {
        let ordered = facts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        ordered.then(|| Self { name: name.into(), facts: facts.into(), digest: OnceLock::new() })
    }

    /// The section's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source's name: the section's name up to the first dot.
    pub fn source(&self) -> &str {
        source_of(&self.name)
    }

    /// Every fact, by path.
    pub fn facts(&self) -> &[(FactPath, Observation)] {
        &self.facts
    }

    /// What was noted at this path. `None` means that this section says nothing of it.
    pub fn find(&self, path: &str) -> Option<&Observation> {
        self.facts.binary_search_by(|(p, _)| p.as_str().cmp(path)).ok().map(|at| &self.facts[at].1)
    }

    /// The canonical bytes: see [`encoding`].
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// How many bytes [`Section::encode`] gives at most: what a length takes is counted at its largest.
    pub fn encoded_len(&self) -> usize {
        encoding::most_bytes(self)
    }

    /// The address of this content: the digest of [`Section::encode`].
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of(&self.encode()))
    }
}

/// The source that a section of this name belongs to.
pub fn source_of(section_name: &str) -> &str {
    section_name.split('.').next().unwrap_or(section_name)
}

/// Collects facts in any order. A path noted twice keeps what was noted last.
#[derive(Debug)]
pub struct SectionBuilder {
    name: String,
    facts: BTreeMap<FactPath, Observation>,
}

impl SectionBuilder {
    /// An empty section of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), facts: BTreeMap::new() }
    }

    /// Notes an observation. A text value above [`MAX_VALUE_BYTES`] becomes `Unreadable(truncated)`.
    pub fn observe(&mut self, path: FactPath, observation: Observation) -> &mut Self {
        let observation = match observation {
            Observation::Present(Value::Text(text)) if text.len() > MAX_VALUE_BYTES => {
                Observation::Unreadable(Reason::Truncated)
            }
            other => other,
        };
        self.facts.insert(path, observation);
        self
    }

    /// Notes a value.
    pub fn present(&mut self, path: FactPath, value: impl Into<Value>) -> &mut Self {
        self.observe(path, Observation::Present(value.into()))
    }

    /// Notes that a path, and whatever lies below it, could not be seen.
    pub fn unreadable(&mut self, path: FactPath, reason: Reason) -> &mut Self {
        self.observe(path, Observation::Unreadable(reason))
    }

    /// What was noted so far at this path.
    pub fn find(&self, path: &str) -> Option<&Observation> {
        self.facts.get(path)
    }

    /// Whether something at this path or below it was noted as unreadable.
    pub fn hides(&self, path: &str) -> bool {
        let top = FactPath::known(path);
        let below = self.facts.range(top.clone()..).take_while(|(at, _)| at.as_str().starts_with(path));
        below
            .filter(|(at, _)| top.covers(at.as_str()))
            .any(|(_, observation)| matches!(observation, Observation::Unreadable(_)))
    }

    /// How many facts were noted.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The section.
    pub fn finish(self) -> Section {
        let facts = self.facts.into_iter().collect();
        Section { name: self.name.into(), facts, digest: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_noting_does_not_matter() {
        let (a, b) = (FactPath::known("os.id"), FactPath::known("os.version_id"));
        let mut first = SectionBuilder::new("os");
        first.present(a.clone(), "debian").present(b.clone(), "12");
        let mut second = SectionBuilder::new("os");
        second.present(b, "12").present(a.clone(), "ubuntu").present(a, "debian");
        assert_eq!(first.finish().digest(), second.finish().digest());
    }

    #[test]
    fn a_value_over_the_limit_is_said_to_be_truncated() {
        let mut section = SectionBuilder::new("custom");
        section.present(FactPath::known("custom.motd"), "x".repeat(MAX_VALUE_BYTES + 1));
        assert_eq!(section.finish().find("custom.motd"), Some(&Observation::Unreadable(Reason::Truncated)));
    }
}
