//! The same nodes at two moments: what changed in between.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;

use crate::evaluate::evaluate_without;
use crate::fleet::{Fleet, Side};
use crate::policy::Policy;
use crate::query::Query;
use crate::report::{Finding, Report, ValueCount};

/// Whether some node stands on both sides: then they are two moments, and not two places.
pub fn share_nodes(a: &Side, b: &Side) -> bool {
    let ids: HashSet<&str> = a.nodes.iter().map(|node| &*node.id).collect();
    b.nodes.iter().any(|node| ids.contains(&*node.id))
}

/// A report on two sides that are the same nodes at two moments. What is so within each of them alike (nodes that
/// disagree, a restart that is due, an expectation that is not met) did not change, and is left out; a node that both
/// sides have is named once. It is left out before anything is told as a part of another, so that it hides no change.
pub fn changes(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Report {
    let labels: Vec<&str> = fleet.environments.iter().map(|label| &**label).collect();
    let is_left_out = |finding: &Finding| is_unchanged(finding, &labels);
    let mut report = evaluate_without(fleet, policy, query, now, &is_left_out);
    let findings = report.findings.iter_mut().map(|finding| &mut finding.nodes);
    for nodes in findings.chain(report.unknowns.iter_mut().map(|unknown| &mut unknown.nodes)) {
        let names: BTreeSet<&String> = nodes.iter().collect();
        if names.len() < nodes.len() {
            *nodes = names.into_iter().cloned().collect();
        }
    }
    report
}

/// Whether both sides hold the same values on as many nodes, and the nodes that it names are the same on both.
fn is_unchanged(finding: &Finding, labels: &[&str]) -> bool {
    let held = |label: &str| {
        let of = finding.values.iter().filter(|value| value.environment == label);
        let mut held: Vec<_> =
            of.map(|ValueCount { value, state, nodes, .. }| (value, state, nodes)).collect();
        held.sort();
        held
    };
    let [first, rest @ ..] = labels else { return false };
    let mut names: Vec<&str> = finding.nodes.iter().map(|name| bare(name, labels)).collect();
    names.sort_unstable();
    rest.iter().all(|other| held(first) == held(other))
        && names.chunk_by(|a, b| a == b).all(|same| same.len() == labels.len())
}

/// The name without the side that stands before it.
fn bare<'a>(name: &'a str, labels: &[&str]) -> &'a str {
    let of_side = |label: &&str| match name.strip_prefix(*label)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    };
    labels.iter().find_map(of_side).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_facts::{FactPath, SectionBuilder, Snapshot};

    use super::*;
    use crate::report::Summary;

    fn host(name: &str, facts: &[(&str, &str)]) -> Snapshot {
        let mut section = SectionBuilder::new("sysctl");
        for (path, value) in facts {
            section.present(FactPath::known(path), *value);
        }
        Snapshot {
            taken_at: Timestamp::UNIX_EPOCH,
            agent: String::new(),
            host: name.into(),
            environment: None,
            role: String::new(),
            sections: vec![section.finish()],
        }
    }

    fn side(label: &str, hosts: &[(&str, &[(&str, &str)])]) -> Side {
        let nodes = hosts.iter().map(|(name, facts)| Arc::new(crate::Node::of_snapshot(host(name, facts))));
        Side { label: label.into(), nodes: nodes.collect() }
    }

    fn between(a: Side, b: Side) -> Vec<(String, Vec<String>)> {
        assert!(share_nodes(&a, &b));
        let fleet = Fleet::of_sides(vec![a, b]);
        let report = changes(&fleet, &Policy::default_policy(), &Query::default(), Timestamp::UNIX_EPOCH);
        let Summary { critical, warning, .. } = report.summary;
        assert_eq!(critical + warning, report.findings.len() as u64);
        report.findings.into_iter().map(|finding| (finding.path, finding.nodes.to_vec())).collect()
    }

    const RUNNING: &str = "sysctl.vm.swappiness";
    const PERSISTED: &str = "sysctl.persisted[vm.swappiness].value";

    /// Promise: between two moments only what changed is a finding, and a node is named once.
    #[test]
    fn what_did_not_change_between_two_moments_is_left_out() {
        let pending: &[(&str, &str)] = &[(RUNNING, "60"), (PERSISTED, "10")];
        let settled: &[(&str, &str)] = &[(RUNNING, "60"), (PERSISTED, "60")];
        let moved: &[(&str, &str)] = &[(RUNNING, "60"), (PERSISTED, "20")];
        let other: &[(&str, &str)] = &[(RUNNING, "30")];
        assert_eq!(between(side("then", &[("a", pending)]), side("now", &[("a", pending)])), []);
        // What the next boot changes became another.
        let changed = [(RUNNING.to_owned(), vec!["a".to_owned()])];
        assert_eq!(between(side("then", &[("a", settled)]), side("now", &[("a", pending)])), changed);
        assert_eq!(between(side("then", &[("a", moved)]), side("now", &[("a", pending)])), changed);
        // As many nodes disagree as before, and they are others.
        let (a, b): (&[_], &[_]) = (&[(RUNNING, "60")], other);
        let then = side("then", &[("a", b), ("b", a), ("c", a)]);
        let now = side("now", &[("a", a), ("b", b), ("c", a)]);
        assert_eq!(between(then.clone(), now), [(RUNNING.to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        assert_eq!(between(then.clone(), Side { label: "now".into(), ..then }), []);
    }

    /// Promise: a change is told although what stayed as it is has the same cause: one file of one node sets all of it.
    #[test]
    fn what_stayed_hides_no_change_with_the_same_cause() {
        const KEYS: [&str; 3] = ["vm.dirty_ratio", "vm.overcommit_ratio", "vm.swappiness"];
        let set = |values: [&'static str; 3]| -> Vec<(String, &str)> {
            let of = |(key, value)| {
                let persisted = |what| format!("sysctl.persisted[{key}].{what}");
                let line = "/etc/sysctl.d/99-local.conf:1";
                [(format!("sysctl.{key}"), value), (persisted("value"), value), (persisted("source"), line)]
            };
            KEYS.into_iter().zip(values).flat_map(of).collect()
        };
        let (was, is) = (set(["5", "10", "1"]), set(["5", "11", "1"]));
        let plain: Vec<(String, &str)> = KEYS.iter().map(|key| (format!("sysctl.{key}"), "60")).collect();
        let facts = |of: &[(String, &'static str)]| of.to_vec();
        let of = |label: &str, a: &[(String, &'static str)]| {
            let hosts = [("a", facts(a)), ("b", facts(&plain)), ("c", facts(&plain))];
            let hosts = hosts.iter().map(|(name, facts)| {
                let facts: Vec<(&str, &str)> =
                    facts.iter().map(|(path, value)| (path.as_str(), *value)).collect();
                Arc::new(crate::Node::of_snapshot(host(name, &facts)))
            });
            Side { label: label.into(), nodes: hosts.collect() }
        };
        let changed = between(of("then", &was), of("now", &is));
        assert_eq!(changed, [("sysctl.vm.overcommit_ratio".to_owned(), vec!["a".to_owned()])]);
        assert_eq!(between(of("then", &was), of("now", &was)), []);
    }
}
