//! Since when, by trying every moment.

use std::collections::BTreeSet;

use evenkeel_drift::Node;
use evenkeel_facts::{FactPath, Observation};
use jiff::Timestamp;

use super::View;

pub(crate) struct Times<'v, 'a> {
    pub(crate) path: &'v str,
    /// For a thing: where its facts are known from.
    pub(crate) thing: Option<&'v View<'a>>,
}

impl<'a> Times<'_, 'a> {
    pub(crate) fn became(&self, node: &'a Node) -> Timestamp {
        let changed = |path: &str| node.changed.get(path).map(|at| (*at).max(node.since));
        let Some(view) = self.thing else { return changed(self.path).unwrap_or(node.since) };
        let thing = FactPath::known(self.path);
        let facts = |node: &'a Node| {
            let present = view.noted(node).filter(|(_, seen)| matches!(seen, Observation::Present(_)));
            present
                .map(|(path, _)| path.to_string())
                .filter(|path| thing.covers(path))
                .collect::<BTreeSet<_>>()
        };
        let own = facts(node);
        if own.is_empty() {
            let known: BTreeSet<String> = view.role.nodes().flat_map(facts).collect();
            known.iter().filter_map(|path| changed(path)).max().unwrap_or(node.since)
        } else {
            own.iter().map(|path| changed(path).unwrap_or(node.since)).min().unwrap()
        }
    }

    /// The first moment at which more than half of the nodes known by then held it.
    pub(crate) fn agreed(&self, holders: &[&'a Node], others: &[&'a Node]) -> Option<Timestamp> {
        let moments: BTreeSet<Timestamp> = holders.iter().map(|node| self.became(node)).collect();
        let is_majority = |moment: &Timestamp| {
            let held = holders.iter().filter(|node| self.became(node) <= *moment).count();
            let known = holders.iter().chain(others).filter(|node| node.since <= *moment).count();
            held * 2 > known
        };
        moments.iter().copied().find(is_majority).or(moments.last().copied())
    }
}
