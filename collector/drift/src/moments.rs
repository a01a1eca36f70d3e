//! The same nodes at two moments: what changed in between.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;

use crate::evaluate::evaluate;
use crate::fleet::{Fleet, Side};
use crate::policy::Policy;
use crate::query::Query;
use crate::report::{Finding, Report, Severity, Status, Summary, ValueCount};

/// Whether some node stands on both sides: then they are two moments, and not two places.
pub fn share_nodes(a: &Side, b: &Side) -> bool {
    let ids: HashSet<&str> = a.nodes.iter().map(|node| &*node.id).collect();
    b.nodes.iter().any(|node| ids.contains(&*node.id))
}

/// A report on two sides that are the same nodes at two moments. What is so within each of them alike (nodes that
/// disagree, a restart that is due, an expectation that is not met) did not change, and is left out; a node that both
/// sides have is named once.
pub fn changes(fleet: &Fleet, policy: &Policy, query: &Query, now: Timestamp) -> Report {
    let all = Query { min_severity: None, all: true, ..query.clone() };
    let mut report = evaluate(fleet, policy, &all, now);
    let labels: Vec<&str> = fleet.environments.iter().map(|label| &**label).collect();
    report.findings.retain(|finding| !is_unchanged(finding, &labels));
    report.summary = Summary { unknown: report.summary.unknown, ..count(&report.findings) };
    let least = query.min_severity.unwrap_or(Severity::Info);
    report
        .findings
        .retain(|finding| query.all || (finding.status == Status::Open && finding.severity >= least));
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

fn count(findings: &[Finding]) -> Summary {
    let mut summary = Summary::default();
    for finding in findings {
        summary.count(finding.status, finding.severity);
    }
    summary
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_facts::{FactPath, SectionBuilder, Snapshot};

    use super::*;

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
}
