//! A fleet that changes step by step.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_drift::{Fleet, Node, Policy, Query, evaluate};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::random;

fn said(fleet: &Fleet, query: &Query) -> String {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    serde_json::to_string(&evaluate(fleet, &Policy::default_policy(), query, now)).unwrap()
}

/// What a node becomes, also by name: times of changes are added, never taken away.
fn becomes(before: &Node, after: &Node) -> Node {
    let mut changed = HashMap::clone(&before.changed);
    changed.extend(after.changed.iter().map(|(path, at)| (path.clone(), *at)));
    Node { name: format!("{} anew", after.name).into(), changed: Arc::new(changed), ..Node::clone(after) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Promise: what is kept while nodes come, change and go says what a fleet says that is made anew; and whoever holds a
    /// copy sees the nodes as they were.
    #[test]
    fn a_fleet_that_changed_is_as_one_made_anew(
        before in random::fleet(),
        after in random::fleet(),
        query in random::query(),
    ) {
        let (was, mut kept) = (said(&before, &query), Fleet { nodes: std::iter::empty().collect(), ..before.clone() });
        let olds: Vec<Arc<Node>> = before.nodes.iter().cloned().collect();
        let news: Vec<Arc<Node>> = after.nodes.iter().cloned().collect();
        let mut places: Vec<_> = olds.iter().map(|node| kept.nodes.insert(Arc::clone(node))).collect();
        // Whatever is kept from one report for the next is there by now.
        prop_assert_eq!(said(&kept, &query), &*was);
        let copy = kept.clone();
        let mut now = Vec::new();
        for (at, place) in places.drain(..).enumerate() {
            match news.get(at) {
                Some(new) => {
                    let mut node = Arc::clone(&olds[at]);
                    kept.nodes.update(place, &mut node, |node| *node = becomes(node, new));
                    now.push(node);
                }
                None => kept.nodes.remove(place),
            }
        }
        for node in news.iter().skip(olds.len()) {
            kept.nodes.insert(Arc::clone(node));
            now.push(Arc::clone(node));
        }
        prop_assert_eq!(kept.nodes.len(), now.len());
        let anew = Fleet { nodes: now.into_iter().collect(), ..before.clone() };
        prop_assert_eq!(said(&kept, &query), said(&anew, &query));
        prop_assert_eq!(said(&copy, &query), was);
    }
}
