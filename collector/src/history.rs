//! What changed on a node, when: its commits in the journal, newest first, opened and compared.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{Author, Digest, FactPath, Glob, Observation, Section};
use evenkeel_store::entry::Committed;
use evenkeel_store::{Entry, Reader, StoreError};
use jiff::Timestamp;
use uuid::Uuid;

use crate::changes;

/// One fact became something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When the collector took it in.
    pub at: Timestamp,
    /// The position of the journal.
    pub journal: u64,
    /// The node.
    pub node: Uuid,
    /// The fact.
    pub path: FactPath,
    /// `None`: not noted, so absent.
    pub before: Option<Observation>,
    /// `None`: not noted any more.
    pub after: Option<Observation>,
    /// Who did it, if the node saw that.
    pub by: Option<Author>,
}

/// Which changes are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only paths that match.
    pub path: Option<Glob>,
    /// Only changes taken in at or after this time.
    pub since: Option<Timestamp>,
    /// Only of sections with these names; `None`: of all. What is not asked for is not opened.
    pub sections: Option<Vec<String>>,
}

/// When a section became what it was for a while.
struct Became {
    at: Timestamp,
    journal: u64,
    /// `None`: the section was gone.
    digest: Option<Digest>,
    authors: Arc<[Author]>,
}

/// The changes of one node, the newest first; at most `limit`. Its first commit is where history begins, not a change.
pub fn of_node(
    reader: &Reader,
    node: Uuid,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    // What is cut off meanwhile is there.
    reader.steadily(|| changes_of(reader, node, filter, limit))
}

fn changes_of(reader: &Reader, node: Uuid, filter: &Filter, limit: usize) -> Result<Vec<Change>, StoreError> {
    let mut walk = Walk { reader, node, filter, contents: HashMap::new(), changes: Vec::new() };
    let mut later: HashMap<String, Became> = HashMap::new();
    let mut first = 0;
    let mut failed = None;
    let mut whole = true;
    reader.history(node, |record| {
        let Entry::Committed(Committed { changed, removed, authors, .. }) = record.entry else { return true };
        let authors: Arc<[Author]> = authors.into();
        first = record.position;
        let changed = changed.into_iter().map(|section| (section.name, Some(section.digest)));
        for (name, digest) in changed.chain(removed.into_iter().map(|name| (name, None))) {
            if filter.sections.as_ref().is_some_and(|wanted| !wanted.contains(&name)) {
                continue;
            }
            let authors = Arc::clone(&authors);
            let became = Became { at: record.at, journal: record.position, digest, authors };
            if let Some(newer) = later.insert(name, became)
                && let Err(error) = walk.step(digest, &newer)
            {
                failed = Some(error);
                return false;
            }
        }
        whole = !walk.has_all(&later, limit);
        whole
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if whole {
        // Where the journal was cut off, a section was something before the first commit that is left.
        let base = reader.base_of(node)?.filter(|base| base.head.is_some());
        let begin = base.as_ref().map_or(first, |_| 0);
        let sections = base.map(|base| base.sections).unwrap_or_default();
        let before: HashMap<String, Digest> =
            sections.into_iter().map(|section| (section.name, section.digest)).collect();
        for (name, newer) in later.into_iter().filter(|(_, became)| became.journal != begin) {
            walk.step(before.get(&name).copied(), &newer)?;
        }
    }
    let mut changes = walk.changes;
    changes.sort_by(|a, b| b.journal.cmp(&a.journal).then_with(|| a.path.cmp(&b.path)));
    changes.truncate(limit);
    Ok(changes)
}

struct Walk<'a> {
    reader: &'a Reader,
    node: Uuid,
    filter: &'a Filter,
    contents: HashMap<Digest, Arc<Section>>,
    changes: Vec<Change>,
}

impl Walk<'_> {
    /// Whether nothing further down the journal can add to the answer. A change is found only when what was before it
    /// is reached, so those in `later` are still open, and newer than what follows.
    fn has_all(&self, later: &HashMap<String, Became>, limit: usize) -> bool {
        let too_old = |became: &Became| self.filter.since.is_some_and(|since| became.at < since);
        let open = later.values().filter(|became| !too_old(became)).map(|became| became.journal).max();
        let Some(open) = open else { return !later.is_empty() };
        self.changes.len() >= limit
            && self.changes.iter().filter(|change| change.journal > open).count() >= limit
    }

    /// A section was `old` until it became `new`.
    fn step(&mut self, old: Option<Digest>, new: &Became) -> Result<(), StoreError> {
        let Self { filter, node, .. } = self;
        let (filter, node) = (*filter, *node);
        if filter.since.is_some_and(|since| new.at < since) {
            return Ok(());
        }
        let (before, after) = (self.content(old)?, self.content(new.digest)?);
        changes::between(before.as_deref(), after.as_deref(), |path, before, after| {
            if filter.path.as_ref().is_none_or(|glob| glob.matches(path.as_str())) {
                self.changes.push(Change {
                    at: new.at,
                    journal: new.journal,
                    node,
                    path: path.clone(),
                    before: before.cloned(),
                    after: after.cloned(),
                    // Several may have written it: the last one made it what it became.
                    by: new.authors.iter().rfind(|author| author.path == path.as_str()).cloned(),
                });
            }
        });
        Ok(())
    }

    fn content(&mut self, digest: Option<Digest>) -> Result<Option<Arc<Section>>, StoreError> {
        let Some(digest) = digest else { return Ok(None) };
        if let Some(section) = self.contents.get(&digest) {
            return Ok(Some(Arc::clone(section)));
        }
        let section = self.reader.section(digest)?;
        let section = section.ok_or_else(|| StoreError::Damaged(format!("section {digest} is missing")))?;
        let section = Arc::new(section);
        self.contents.insert(digest, Arc::clone(&section));
        Ok(Some(section))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::{SectionBuilder, SectionDigest};
    use evenkeel_store::Batch;

    fn section(name: &str, value: &str) -> Arc<Section> {
        let mut section = SectionBuilder::new(name);
        section
            .present(FactPath::known(&format!("{name}.a")), value)
            .present(FactPath::known(&format!("{name}.b")), "b");
        Arc::new(section.finish())
    }

    /// Promise: history has both, the change and that it was undone; the first commit is no change.
    #[test]
    fn a_change_and_its_undoing_are_two_changes() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = evenkeel_store::open(directory.path()).unwrap();
        let node = Uuid::from_u128(1);
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let commits = [
            (vec![section("vm", "1"), section("net", "1")], vec![]),
            (vec![section("net", "2")], vec![]),
            (vec![section("net", "1"), section("go", "x")], vec!["vm".to_owned()]),
        ];
        for (sequence, (sections, removed)) in commits.into_iter().enumerate() {
            let named = |s: &Arc<Section>| SectionDigest { name: s.name().into(), digest: s.digest() };
            let committed = Committed {
                node,
                boot_epoch: 1,
                sequence: sequence as u64,
                taken_at: at,
                root: Digest::of(b""),
                changed: sections.iter().map(named).collect(),
                removed,
                labels: None,
                authors: vec![
                    Author { path: "net.a".into(), pid: 1, ..Author::default() },
                    Author { path: "net.a".into(), pid: 2, ..Author::default() },
                ],
            };
            let sections = sections.into_iter().map(Into::into).collect();
            writer.append(Batch { entries: vec![(at, Entry::Committed(committed))], sections }).unwrap();
        }
        let shown = |filter: &Filter| -> Vec<String> {
            let changes = of_node(&reader, node, filter, 100).unwrap();
            let side = |o: Option<Observation>| match o {
                Some(Observation::Present(value)) => value.to_string(),
                _ => "-".to_owned(),
            };
            changes
                .into_iter()
                .map(|c| format!("{} {} {}>{}", c.journal, c.path, side(c.before), side(c.after)))
                .collect()
        };
        assert_eq!(
            shown(&Filter::default()),
            ["3 go.a ->x", "3 go.b ->b", "3 net.a 2>1", "3 vm.a 1>-", "3 vm.b b>-", "2 net.a 1>2"]
        );
        assert_eq!(
            shown(&Filter { path: Some(Glob::new("net.*")), since: None, ..Filter::default() }),
            ["3 net.a 2>1", "2 net.a 1>2"]
        );
        let by = |change: &Change| change.by.as_ref().map(|author| (change.path.to_string(), author.pid));
        let authors = of_node(&reader, node, &Filter::default(), 100).unwrap();
        assert_eq!(
            authors.iter().filter_map(by).collect::<Vec<_>>(),
            [("net.a".to_owned(), 2), ("net.a".to_owned(), 2)]
        );
        // The newest come first, also when the change before them is found later.
        let newest = of_node(&reader, node, &Filter::default(), 5).unwrap();
        assert!(newest.len() == 5 && newest.iter().all(|change| change.journal == 3), "{newest:?}");
        assert!(
            shown(&Filter { since: Some("2027-01-01T00:00:00Z".parse().unwrap()), ..Filter::default() })
                .is_empty()
        );
    }
}
