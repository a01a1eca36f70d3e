//! What is compared: environments, nodes and their sections.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use evenkeel_facts::{FactPath, Section, Snapshot};
use jiff::Timestamp;

use crate::acceptance::Acceptance;
use crate::nodes::Nodes;
use crate::report::Quarantined;

/// A view of the fleet at one position of the journal. Cheap to build and to copy: nodes are shared, and nodes with the
/// same content share it.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// The position of the journal that this view shows; 0 for snapshots compared without a collector.
    pub journal: u64,
    /// The environments in their order of promotion; the last is the default reference.
    pub environments: Vec<Arc<str>>,
    /// Every enrolled node, in any order.
    pub nodes: Nodes,
    /// Whether each node is a machine of its own, so that an identity that two of them have is a finding. Sides of a
    /// comparison may well be one machine at two times.
    pub unique: bool,
    /// What somebody signed off, the newest last.
    pub acceptances: Arc<[Acceptance]>,
    /// Facts that keep changing by themselves, by path.
    pub quarantined: Arc<BTreeMap<String, Quarantined>>,
    /// How many changes of facts were taken in within the last 24 hours.
    pub changes: u64,
}

/// One node as the collector knows it.
#[derive(Debug, Clone)]
pub struct Node {
    /// The UUID that its certificate carries.
    pub id: Arc<str>,
    /// Its host name: a label.
    pub name: Arc<str>,
    /// Index into [`Fleet::environments`].
    pub environment: usize,
    /// Its role; empty by default.
    pub role: Arc<str>,
    /// Whether it reported within its deadline. A stale node is named and counted, and never raises drift.
    pub fresh: bool,
    /// Its newest sections, by name. Equal contents are one allocation, shared between nodes: the engine compares
    /// pointers first and opens each distinct content once. A path stands in one section of a node; the section
    /// `identity`, unique on every host, is never opened to compare.
    pub sections: Vec<Arc<Section>>,
    /// When its first commit was taken in.
    pub since: Timestamp,
    /// For facts that changed after the first commit: when they became what they are now.
    pub changed: Arc<HashMap<FactPath, Timestamp>>,
    /// Set when several machines hold its key.
    pub holders: Option<Arc<Holders>>,
}

/// The machines that hold one node's key at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// What is known of each: `web-1 at 10.0.0.7`.
    pub names: Vec<String>,
    /// Since when they are so many.
    pub since: Timestamp,
}

/// One operand of a comparison: a label to show for it and the nodes that it stands for.
#[derive(Debug, Clone)]
pub struct Side {
    /// What the report calls it: `prod`, `node/web-1`, `file:web-1.json`.
    pub label: String,
    /// Its nodes. Their environment is set by [`Fleet::of_sides`].
    pub nodes: Vec<Arc<Node>>,
}

impl Side {
    /// A side of one snapshot.
    pub fn of_snapshot(label: &str, snapshot: Snapshot) -> Self {
        Self { label: label.to_owned(), nodes: vec![Arc::new(Node::of_snapshot(snapshot))] }
    }
}

impl Node {
    /// A fresh node that is what the snapshot says, since it was taken.
    pub fn of_snapshot(snapshot: Snapshot) -> Self {
        Self {
            id: snapshot.host.as_str().into(),
            name: snapshot.host.into(),
            environment: 0,
            role: snapshot.role.into(),
            fresh: true,
            sections: snapshot.sections.into_iter().map(Arc::new).collect(),
            since: snapshot.taken_at,
            changed: Arc::default(),
            holders: None,
        }
    }
}

impl Fleet {
    /// Each snapshot as if it were an environment, in this order: the last is the reference.
    pub fn from_snapshots(snapshots: impl IntoIterator<Item = (String, Snapshot)>) -> Self {
        let sides = snapshots.into_iter().map(|(label, snapshot)| Side::of_snapshot(&label, snapshot));
        Self::of_sides(sides.collect())
    }

    /// Each side as if it were an environment, in this order: the last is the reference, so `diff A B` is
    /// `[A, B]`, A held against B.
    ///
    /// Like is compared with like, so roles stay what they are, unless the sides have no role in common: then what
    /// was asked for is to compare them nevertheless, and roles are dropped. Labels should differ; equal ones are
    /// numbered (`prod`, `prod (2)`).
    pub fn of_sides(sides: Vec<Side>) -> Self {
        let in_all = |role: &str| sides.iter().all(|side| side.nodes.iter().any(|node| *node.role == *role));
        let like = sides.iter().flat_map(|side| &side.nodes).any(|node| in_all(&node.role));
        let mut fleet = Self::default();
        for Side { label, nodes } in sides {
            let environment = fleet.environments.len();
            let taken = |label: &str| fleet.environments.iter().any(|known| **known == *label);
            let mut numbered = (2..).map(|number| format!("{label} ({number})"));
            let label =
                if taken(&label) { numbered.find(|label| !taken(label)).unwrap_or(label) } else { label };
            fleet.environments.push(label.into());
            fleet.nodes.extend(nodes.into_iter().map(|node| {
                let role = if like { Arc::clone(&node.role) } else { Arc::default() };
                Arc::new(Node { environment, role, ..Node::clone(&node) })
            }));
        }
        fleet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(host: &str, role: &str) -> Snapshot {
        Snapshot {
            taken_at: Timestamp::UNIX_EPOCH,
            agent: String::new(),
            host: host.into(),
            environment: None,
            role: role.into(),
            sections: Vec::new(),
        }
    }

    #[test]
    fn sides_of_other_roles_are_compared_nevertheless() {
        let roles = |a: &str, b: &str| {
            let fleet =
                Fleet::from_snapshots([("a".into(), snapshot("x", a)), ("b".into(), snapshot("y", b))]);
            fleet.nodes.iter().map(|node| node.role.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(roles("web", "web"), ["web", "web"]);
        assert_eq!(roles("web", "db"), ["", ""]);
    }

    #[test]
    fn equal_labels_are_told_apart() {
        let fleet = Fleet::from_snapshots((0..3).map(|_| ("web-1".into(), snapshot("web-1", ""))));
        assert_eq!(fleet.environments, ["web-1".into(), "web-1 (2)".into(), Arc::from("web-1 (3)")]);
    }
}
