//! Since when a difference is as it is.

use jiff::Timestamp;

use crate::fleet::Node;
use crate::scope::Role;

/// When each node's state became what it is now.
pub(crate) trait Became {
    /// For one node (index into `role.nodes`); never before its first commit.
    fn became(&self, node: usize) -> Timestamp;
}

/// One fact: when it changed last, or the node's first commit.
pub(crate) struct FactBecame<'a> {
    pub(crate) role: &'a Role<'a>,
    pub(crate) path: &'a str,
}

impl Became for FactBecame<'_> {
    fn became(&self, node: usize) -> Timestamp {
        let node = self.role.nodes[node];
        changed(node, self.path).unwrap_or(node.since)
    }
}

/// When a fact of a node changed last, if it did after the first commit.
pub(crate) fn changed(node: &Node, path: &str) -> Option<Timestamp> {
    if node.changed.is_empty() { None } else { node.changed.get(path).map(|at| (*at).max(node.since)) }
}

/// Since when the deviating nodes deviate: a node's own state and what it is held against must both have become
/// what they are. The earliest over the nodes.
pub(crate) fn since(
    became: &impl Became,
    deviating: &[usize],
    agreed: Option<Timestamp>,
) -> Option<Timestamp> {
    let first = deviating.iter().map(|node| became.became(*node)).min()?;
    Some(agreed.map_or(first, |agreed| first.max(agreed)))
}

/// Since when a cohort agrees on its consensus: the earliest moment at which more than half of its nodes known by
/// then (of those that can be read now) held it, and hold it still; for a consensus that is no majority, the moment
/// the last of its holders took it up.
pub(crate) fn agreed(
    role: &Role<'_>,
    became: &impl Became,
    holders: &[usize],
    others: &[usize],
) -> Option<Timestamp> {
    let first = holders.iter().map(|node| became.became(*node)).min()?;
    let all = || holders.iter().chain(others).map(|node| role.nodes[*node].since);
    let known = all().filter(|since| *since <= first).count();
    let held = holders.iter().filter(|node| became.became(**node) == first).count();
    if held * 2 > known {
        return Some(first);
    }
    let mut known: Vec<Timestamp> = all().collect();
    let mut took: Vec<Timestamp> = holders.iter().map(|node| became.became(*node)).collect();
    known.sort_unstable();
    took.sort_unstable();
    let majority = (0..took.len()).find(|at| {
        let moment = took[*at];
        let held = took.partition_point(|t| *t <= moment);
        held * 2 > known.partition_point(|since| *since <= moment)
    });
    majority.map_or(took.last(), |at| took.get(at)).copied()
}

/// Since when the nodes of a cohort disagree, whichever value has the most by now: the moment the second of the values was there.
pub(crate) fn disagreed(became: &impl Became, holders: &[Vec<usize>]) -> Option<Timestamp> {
    let mut firsts: Vec<Timestamp> =
        holders.iter().filter_map(|nodes| nodes.iter().map(|node| became.became(*node)).min()).collect();
    firsts.sort_unstable();
    firsts.get(1).or(firsts.first()).copied()
}
