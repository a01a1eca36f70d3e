//! Since when each node's fact is what it is, and who made it so: the answers that stand in the journal.

use std::cmp::Reverse;
use std::collections::HashSet;

use evenkeel_drift::explain::{Explanation, NodeSince, Side};
use evenkeel_drift::fleet::{Fleet, Node};
use evenkeel_drift::report::State;
use evenkeel_facts::{FactPath, Glob, Observation};
use evenkeel_store::{Reader, StoreError};
use jiff::Timestamp;
use uuid::Uuid;

use crate::history::{self, Change, Filter};

/// So many nodes are listed; the others are counted.
const LISTED: usize = 200;
/// So many changes of one fact are looked through for the one that made it what it is: more of them came within the
/// same moment, or the fact could not be read now and then.
const LOOKED_AT: usize = 1_000;

/// One node, before the journal is asked.
struct Look<'a> {
    node: &'a Node,
    now: Side,
    since: Timestamp,
    since_first_report: bool,
    deviates: bool,
}

/// Adds the nodes to what the engine says. The journal is asked of those listed only.
pub(super) fn add_nodes(
    explanation: &mut Explanation,
    fleet: &Fleet,
    reader: &Reader,
) -> Result<(), StoreError> {
    let findings = explanation.findings.iter();
    let deviating: HashSet<(&str, &str)> = findings
        .flat_map(|finding| finding.nodes.iter().map(|node| (finding.role.as_str(), node.as_str())))
        .collect();
    let roles: HashSet<&str> = explanation.values.roles.iter().map(|role| role.role.as_str()).collect();
    let subject = Subject::new(&explanation.path);
    // Of an identity that several have, only they are spoken of: nobody else's is a value to compare.
    let is_meant = |node: &Node| {
        node.fresh
            && if roles.is_empty() {
                deviating.contains(&(&*node.role, &*node.name)) && subject.is_noted(node)
            } else {
                roles.contains(&*node.role)
            }
    };
    let known = fleet.nodes.iter().filter(|node| is_meant(node));
    let mut looks: Vec<Look<'_>> = known
        .map(|node| {
            let changed = subject.changed(node);
            Look {
                now: subject.now(node),
                since: changed.unwrap_or(node.since),
                since_first_report: changed.is_none(),
                deviates: deviating.contains(&(&*node.role, &*node.name)),
                node,
            }
        })
        .collect();
    looks.sort_by(|a, b| {
        let rank = |look: &Look<'_>| (!look.deviates, look.since_first_report, Reverse(look.since));
        rank(a).cmp(&rank(b)).then_with(|| (&a.node.name, &a.node.id).cmp(&(&b.node.name, &b.node.id)))
    });
    explanation.more_nodes = looks.len().saturating_sub(LISTED) as u64;
    looks.truncate(LISTED);
    explanation.nodes = looks
        .into_iter()
        .map(|look| {
            let Look { node, now, since, since_first_report, .. } = look;
            let made = if since_first_report { None } else { subject.made(node, since, reader)? };
            let (before, by) =
                made.map_or((None, None), |change| (Some(side(change.before.as_ref())), change.by));
            Ok(NodeSince {
                node: node.name.to_string(),
                environment: fleet.environments[node.environment].to_string(),
                role: node.role.to_string(),
                now,
                since,
                since_first_report,
                before,
                by,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(())
}

/// What is explained: one fact, or a thing with all its facts.
struct Subject<'a> {
    path: &'a str,
    is_thing: bool,
}

impl<'a> Subject<'a> {
    fn new(path: &'a str) -> Self {
        Self { path, is_thing: path.ends_with(']') }
    }

    /// Whether the node says something of this very path.
    fn is_noted(&self, node: &Node) -> bool {
        node.sections.iter().any(|section| section.find(self.path).is_some())
    }

    fn is_of(&self, path: &FactPath) -> bool {
        path.as_str() == self.path || self.is_thing && self.covers(path.as_str())
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.path).is_some_and(|rest| rest.starts_with(['.', '[']))
    }

    /// When it changed last after the node's first report.
    fn changed(&self, node: &Node) -> Option<Timestamp> {
        let at = if self.is_thing {
            node.changed.iter().filter(|(path, _)| self.is_of(path)).map(|(_, at)| *at).max()
        } else {
            node.changed.get(self.path).copied()
        };
        at.map(|at| at.max(node.since))
    }

    /// What it is now. A thing has no value: it is there.
    fn now(&self, node: &Node) -> Side {
        let seen = node.sections.iter().find_map(|section| section.find(self.path));
        let facts = || node.sections.iter().flat_map(|section| section.facts());
        let is_there = || {
            self.is_thing
                && facts().any(|(path, seen)| self.is_of(path) && !matches!(seen, Observation::Unreadable(_)))
        };
        match seen {
            Some(seen) => side(Some(seen)),
            None if is_there() => Side { state: State::Present, value: String::new() },
            None => side(facts().find(|(path, seen)| is_hidden(path, seen, self.path)).map(|(_, seen)| seen)),
        }
    }

    /// The change that made it what it is since then; `None`: the journal does not say, as of a thing.
    fn made(&self, node: &Node, since: Timestamp, reader: &Reader) -> Result<Option<Change>, StoreError> {
        let Ok(id) = Uuid::parse_str(&node.id) else { return Ok(None) };
        if self.is_thing {
            return Ok(None);
        }
        let noting = node.sections.iter().filter(|section| section.find(self.path).is_some());
        let sections: Vec<String> = noting.map(|section| section.name().to_owned()).collect();
        let filter = Filter {
            path: Some(Glob::new(self.path)),
            since: Some(since),
            // A fact that is gone may have stood anywhere.
            sections: (!sections.is_empty()).then_some(sections),
        };
        let changes = history::of_node(reader, id, &filter, LOOKED_AT)?;
        // What could not be read for a while and was then as before did not change when it could be read again.
        Ok(changes.into_iter().find(|change| change.at.as_millisecond() <= since.as_millisecond()))
    }
}

/// Whether an observation says that nothing at or below its path could be read, and this path is there.
fn is_hidden(above: &FactPath, seen: &Observation, path: &str) -> bool {
    matches!(seen, Observation::Unreadable(_)) && above.covers(path)
}

fn side(seen: Option<&Observation>) -> Side {
    let (state, value) = match seen {
        None | Some(Observation::Absent) => (State::Absent, String::new()),
        Some(Observation::Present(value)) => (State::Present, value.to_string()),
        Some(Observation::Unreadable(reason)) => (State::Unreadable, reason.to_string()),
    };
    Side { state, value }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_drift::values::{RoleValues, Values};
    use evenkeel_facts::{Author, Digest, Reason, Section, SectionBuilder, SectionDigest};
    use evenkeel_store::entry::{Committed, Enrolled};
    use evenkeel_store::{Batch, Entry, Record, Writer};

    use super::*;
    use crate::state::State as Collected;

    const PATH: &str = "sysctl.net.core.somaxconn";

    /// A collector's journal and what it says, one commit after another.
    struct Journal {
        writer: Writer,
        reader: Reader,
        state: Collected,
        sequence: u64,
        _directory: tempfile::TempDir,
    }

    impl Journal {
        fn new(nodes: u128) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (writer, reader) = evenkeel_store::open(directory.path()).unwrap();
            let state = Collected::new(&["prod".to_owned()], std::time::Instant::now());
            let mut journal = Self { writer, reader, state, sequence: 0, _directory: directory };
            for node in 1..=nodes {
                let enrolled = Enrolled {
                    node: Uuid::from_u128(node),
                    environment: "prod".into(),
                    host: format!("web-{node}"),
                    role: String::new(),
                    token: String::new(),
                    labels: std::collections::BTreeMap::new(),
                    key: Vec::new(),
                };
                journal.append(Entry::Enrolled(enrolled), Vec::new());
            }
            journal
        }

        /// The node says this value, and who wrote it; `None`: it may not read it.
        fn says(&mut self, node: u128, value: Option<&str>, by: Option<u32>) {
            let mut section = SectionBuilder::new("sysctl.net");
            match value {
                Some(value) => section.present(FactPath::known(PATH), value),
                None => section.unreadable(FactPath::known(PATH), Reason::Permission),
            };
            let section = Arc::new(section.finish());
            let committed = Committed {
                node: Uuid::from_u128(node),
                boot_epoch: 1,
                sequence: self.sequence,
                taken_at: Timestamp::UNIX_EPOCH,
                root: Digest::of(b""),
                changed: vec![SectionDigest { name: "sysctl.net".into(), digest: section.digest() }],
                removed: Vec::new(),
                labels: None,
                authors: by
                    .map(|pid| Author { path: PATH.into(), pid, ..Author::default() })
                    .into_iter()
                    .collect(),
            };
            self.append(Entry::Committed(committed), vec![section]);
        }

        fn append(&mut self, entry: Entry, sections: Vec<Arc<Section>>) {
            self.sequence += 1;
            let at = Timestamp::from_second(1_790_000_000 + self.sequence.cast_signed() * 60).unwrap();
            let known = sections.clone();
            let sections = sections.into_iter().map(Into::into).collect();
            self.writer.append(Batch { entries: vec![(at, entry.clone())], sections }).unwrap();
            let record = Record { position: self.sequence, at, entry };
            let find = |digest| known.iter().find(|section| section.digest() == digest).cloned();
            self.state.apply(&record, &mut |digest| Ok(find(digest).expect("it comes with it"))).unwrap();
        }

        fn explained(&self) -> Explanation {
            let of_all = RoleValues { role: String::new(), environments: Vec::new() };
            let mut explanation = Explanation {
                path: PATH.into(),
                findings: Vec::new(),
                unknowns: Vec::new(),
                rules: Vec::new(),
                advice: None,
                values: Values { path: PATH.into(), roles: vec![of_all] },
                nodes: Vec::new(),
                more_nodes: 0,
            };
            let fleet = self.state.fleet(Timestamp::UNIX_EPOCH);
            add_nodes(&mut explanation, &fleet, &self.reader).unwrap();
            explanation
        }
    }

    /// `web-1 128>256 by 7`, or `web-1 =128`: so since its first report.
    fn words(explanation: &Explanation) -> Vec<String> {
        let one = |said: &NodeSince| {
            let before = said.before.as_ref().map_or("?", |before| &before.value);
            let by = said.by.as_ref().map(|by| format!(" by {}", by.pid)).unwrap_or_default();
            let arrow = if said.since_first_report { "=".to_owned() } else { format!("{before}>") };
            format!("{} {arrow}{}{by}", said.node, said.now.value)
        };
        explanation.nodes.iter().map(one).collect()
    }

    /// Promise: each node's last change is named with who made it, however much others change.
    #[test]
    fn a_busy_node_hides_no_other() {
        let mut journal = Journal::new(3);
        for node in 1..=3 {
            journal.says(node, Some("128"), Some(1));
        }
        journal.says(1, Some("256"), Some(7));
        for value in 0..30_u32 {
            journal.says(2, Some(&value.to_string()), Some(100 + value));
        }
        assert_eq!(words(&journal.explained()), ["web-2 28>29 by 129", "web-1 128>256 by 7", "web-3 =128"]);
    }

    /// Promise: "cannot tell" is not a change: whoever made it what it is stays named when it can be read again.
    #[test]
    fn what_could_not_be_read_for_a_while_keeps_its_author() {
        let mut journal = Journal::new(1);
        journal.says(1, Some("128"), None);
        journal.says(1, Some("256"), Some(7));
        journal.says(1, None, None);
        journal.says(1, Some("256"), Some(8));
        assert_eq!(words(&journal.explained()), ["web-1 128>256 by 7"]);
        journal.says(1, None, None);
        assert_eq!(words(&journal.explained()), ["web-1 256>permission"]);
    }

    /// What a large fleet does not list, it counts.
    #[test]
    fn more_than_a_person_reads_are_counted() {
        let mut journal = Journal::new(LISTED as u128 + 3);
        for node in 1..=LISTED as u128 + 3 {
            journal.says(node, Some("128"), None);
        }
        let explanation = journal.explained();
        assert_eq!((explanation.nodes.len(), explanation.more_nodes), (LISTED, 3));
    }
}
