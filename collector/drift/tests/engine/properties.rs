//! The engine against a naive one that asks every node for every path.

use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_drift::acceptance::{Known, Subject};
use evenkeel_drift::report::State;
use evenkeel_drift::{Acceptance, Fleet, Policy, Report, evaluate, open_findings, values};
use evenkeel_facts::{Glob, Observation};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::random::Signed;
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

/// What was signed off, of the findings that are there while nothing is.
fn acceptances(fleet: &Fleet, policy: &Policy, signed: Vec<Signed>) -> Arc<[Acceptance]> {
    let findings = open_findings(fleet, policy, now());
    let known = |(at, said_less): (usize, bool)| {
        let finding = findings.get(at)?;
        let mut known = Known::of(&finding.id, &finding.path, &finding.values);
        if said_less {
            known.values.pop_first();
        }
        Some(known)
    };
    let one = |(number, signed): (usize, Signed)| {
        let (subject, lasts) = match signed {
            Signed::Paths(path, lasts) => (Subject::Paths(Glob::new(path)), lasts),
            Signed::Findings(findings, lasts) => {
                (Subject::Findings(findings.into_iter().filter_map(known).collect()), lasts)
            }
        };
        let until = now() + SignedDuration::from_hours(i64::from(lasts));
        Acceptance { id: format!("a-{number}"), subject, owner: "ada".into(), reason: "known".into(), until }
    };
    signed.into_iter().enumerate().map(one).collect()
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

    /// Promise: the same holds whatever people say: rules of their own for some or all, deadlines, what is signed off, what is in
    /// quarantine.
    #[test]
    fn the_naive_engine_says_the_same_under_any_policy(
        fleet in random::fleet(),
        query in random::query(),
        text in random::policy(),
        signed in random::signed(),
        quarantined in random::quarantined(),
    ) {
        let policy = Policy::parse(&text).unwrap();
        let fleet = Fleet { quarantined: Arc::new(quarantined), changes: 90, ..fleet };
        let acceptances = acceptances(&fleet, &policy, signed);
        let fleet = Fleet { acceptances, ..fleet };
        let report = bare(evaluate(&fleet, &policy, &query, now()));
        let naive = naive::report(&fleet, &policy, &query, now());
        prop_assert_eq!(
            serde_json::to_string_pretty(&report).unwrap(),
            serde_json::to_string_pretty(&naive).unwrap(),
            "{}", text
        );
    }

    #[test]
    fn the_order_of_nodes_does_not_matter(
        (fleet, nodes) in random::fleet().prop_flat_map(|fleet| {
            let nodes = Just(fleet.nodes.iter().cloned().collect::<Vec<_>>()).prop_shuffle();
            (Just(fleet), nodes)
        }),
        query in random::query(),
    ) {
        let policy = Policy::default_policy();
        let shuffled = Fleet { nodes: nodes.into_iter().collect(), ..fleet.clone() };
        prop_assert_eq!(
            serde_json::to_string(&evaluate(&fleet, &policy, &query, now())).unwrap(),
            serde_json::to_string(&evaluate(&shuffled, &policy, &query, now())).unwrap()
        );
    }

    /// Promise: one fact over the fleet is what each fresh node says of it, and every fresh node is named once.
    #[test]
    fn one_fact_over_the_fleet_is_what_the_nodes_say(fleet in random::fleet()) {
        let sections = fleet.nodes.iter().filter(|node| node.fresh).flat_map(|node| &node.sections);
        let facts = sections.filter(|section| section.source() != "identity").flat_map(|section| section.facts());
        let known = facts.filter(|(_, seen)| !matches!(seen, Observation::Unreadable(_)));
        for path in known.map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>() {
            let values = values(&fleet, path);
            for role in &values.roles {
                for of in &role.environments {
                    let mut named: Vec<(&str, Option<&str>, State)> = Vec::new();
                    for held in &of.values {
                        let one = |name| (name, held.value.as_deref(), held.state);
                        named.extend(held.nodes.iter().map(|name| one(name.as_str())));
                    }
                    named.sort_unstable();
                    let here = fleet.nodes.iter().filter(|node| {
                        *node.role == *role.role && *fleet.environments[node.environment] == *of.environment
                    });
                    let (fresh, stale): (Vec<_>, Vec<_>) = here.partition(|node| node.fresh);
                    let mut names: Vec<&str> = fresh.iter().map(|node| &*node.name).collect();
                    names.sort_unstable();
                    prop_assert_eq!(named.iter().map(|(name, _, _)| *name).collect::<Vec<_>>(), names);
                    prop_assert_eq!(of.stale.len(), stale.len());
                    for node in fresh {
                        let seen = node.sections.iter().find_map(|section| section.find(path));
                        let said = match seen {
                            Some(Observation::Present(value)) => (Some(value.to_string()), State::Present),
                            Some(Observation::Absent) => (None, State::Absent),
                            // What is there of a thing says more than that it could not be read as a whole.
                            Some(Observation::Unreadable(_)) if path.ends_with(']') => continue,
                            Some(Observation::Unreadable(_)) => (None, State::Unreadable),
                            None => continue,
                        };
                        let wanted = (&*node.name, said.0.as_deref(), said.1);
                        prop_assert!(named.contains(&wanted), "{}: {:?} of {:?}", path, wanted, named);
                    }
                }
            }
            // Whoever could read it is in a role that is listed.
            for node in fleet.nodes.iter().filter(|node| node.fresh) {
                let seen = node.sections.iter().find_map(|section| section.find(path));
                if matches!(seen, Some(Observation::Present(_) | Observation::Absent)) {
                    prop_assert!(values.roles.iter().any(|role| *role.role == *node.role), "{}", path);
                }
            }
        }
    }
}
