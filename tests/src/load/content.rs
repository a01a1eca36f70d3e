//! Sections with their addresses, each distinct one made once.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{Digest, FactPath, Observation, Section, SectionBuilder, SectionDigest};

/// A section and its address.
#[derive(Debug)]
pub struct Content {
    /// The facts.
    pub section: Arc<Section>,
    /// Their address.
    pub digest: Digest,
}

impl Content {
    /// A section under its own address.
    pub fn new(section: Section) -> Arc<Self> {
        let digest = section.digest();
        Arc::new(Self { section: Arc::new(section), digest })
    }

    /// Name and address.
    pub fn named(&self) -> SectionDigest {
        SectionDigest { name: self.section.name().to_owned(), digest: self.digest }
    }
}

/// Contents derived from others. The same change of the same content is made once, so that nodes share it.
#[derive(Debug, Default)]
pub struct Contents(HashMap<(Digest, String, Observation), Arc<Content>>);

impl Contents {
    /// The content with one fact set.
    pub fn with(&mut self, content: &Content, path: &FactPath, observation: &Observation) -> Arc<Content> {
        let key = (content.digest, path.to_string(), observation.clone());
        Arc::clone(self.0.entry(key).or_insert_with(|| with(&content.section, path, observation)))
    }
}

/// The section with one fact set, under its new address.
pub fn with(section: &Section, path: &FactPath, observation: &Observation) -> Arc<Content> {
    let mut builder = SectionBuilder::new(section.name());
    for (known, seen) in section.facts() {
        builder.observe(known.clone(), seen.clone());
    }
    builder.observe(path.clone(), observation.clone());
    Content::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_change_is_made_once() {
        let mut section = SectionBuilder::new("os");
        section.present(FactPath::known("os.id"), "debian");
        let base = Content::new(section.finish());
        let (path, other) = (FactPath::known("os.id"), Observation::Present("ubuntu".into()));
        let mut contents = Contents::default();
        let changed = contents.with(&base, &path, &other);
        assert!(Arc::ptr_eq(&changed, &contents.with(&base, &path, &other)));
        assert_eq!(changed.section.find("os.id"), Some(&other));
        assert_ne!(changed.digest, base.digest);
    }
}
