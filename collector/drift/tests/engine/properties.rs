//! The engine against a naive one that asks every node for every path.

use evenkeel_drift::{Fleet, Policy, Report, evaluate};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{naive, random};

/// A report without what the naive engine does not say: sentences and reasons.
fn bare(mut report: Report) -> Report {
    for finding in &mut report.findings {
        finding.summary.clear();
        finding.reason.clear();
        finding.parts.iter_mut().for_each(|part| part.summary.clear());
    }
    report
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

proptest! {
    // PROPTEST_CASES=100000 looks longer: some 20 minutes.
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_naive_engine_says_the_same(fleet in random::fleet(), query in random::query()) {
        let policy = Policy::default_policy();
        let report = bare(evaluate(&fleet, &policy, &query, now()));
        let naive = naive::report(&fleet, &policy, &query, now());
        prop_assert_eq!(
            serde_json::to_string_pretty(&report).unwrap(),
            serde_json::to_string_pretty(&naive).unwrap()
        );
    }

    #[test]
    fn the_order_of_nodes_does_not_matter(
        (fleet, nodes) in random::fleet().prop_flat_map(|fleet| {
            let nodes = Just(fleet.nodes.clone()).prop_shuffle();
            (Just(fleet), nodes)
        }),
        query in random::query(),
    ) {
        let policy = Policy::default_policy();
        let shuffled = Fleet { nodes, ..fleet.clone() };
        prop_assert_eq!(
            serde_json::to_string(&evaluate(&fleet, &policy, &query, now())).unwrap(),
            serde_json::to_string(&evaluate(&shuffled, &policy, &query, now())).unwrap()
        );
    }
}
