//! What else is asked of a fleet: the gate, one fact over the fleet, one finding explained, two snapshots compared.

use std::sync::Arc;

use crate::scenario::Scenario;
use evenkeel_drift::gate::{NO_COMMON_ROLE, NO_NODES};
use evenkeel_drift::report::{Severity, State};
use evenkeel_drift::{Fleet, GateOutcome, GateVerdict, Node, Policy, Query, evaluate, explain, gate, values};
use evenkeel_facts::{FactPath, SectionBuilder, Snapshot};
use jiff::Timestamp;

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/tests/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ask(name: &str, from: &str, to: &str, fail_on: Severity) -> GateOutcome {
    gate(&scenario(name).fleet(), &Policy::default_policy(), from, to, fail_on, now())
}

#[test]
fn the_gate_answers_in_three_ways() {
    use GateVerdict::{CannotTell, Consistent, Drift};
    use Severity::{Critical, Info, Warning};
    for (name, fail_on, verdict) in [
        ("equal", Info, Consistent),
        ("differs", Warning, Drift),
        ("missing_thing", Warning, Drift),
        ("missing_thing", Critical, Consistent),
        ("hidden_thing", Critical, CannotTell),
        ("info_hidden", Warning, Consistent),
        ("info_hidden", Info, Drift),
        ("explained_by_memory", Info, Consistent),
        ("unreadable_fact", Warning, CannotTell),
        ("unreadable_everywhere", Warning, Consistent),
        ("unreadable_everywhere", Info, CannotTell),
        ("hidden_everywhere", Critical, CannotTell),
        ("unreadable_on_some", Critical, Drift),
        ("not_collected", Critical, CannotTell),
        ("devel", Warning, Consistent),
        ("stale_node", Warning, Consistent),
        ("stale_environment", Critical, CannotTell),
        ("stale_reference", Critical, Drift),
    ] {
        assert_eq!(ask(name, "staging", "prod", fail_on).verdict, verdict, "{name} failing on {fail_on:?}");
    }
}

/// Promise: what somebody has signed off fails no gate, and is counted by how bad it is.
#[test]
fn the_gate_counts_what_is_accepted() {
    let said = |name: &str, fail_on| {
        let GateOutcome { verdict, findings, accepted, .. } = ask(name, "staging", "prod", fail_on);
        (verdict, findings.len(), accepted)
    };
    assert_eq!(said("accepted_finding", Severity::Critical), (GateVerdict::Consistent, 0, 1));
    assert_eq!(said("accepted_expired", Severity::Critical), (GateVerdict::Drift, 1, 0));
    assert_eq!(said("info_hidden", Severity::Warning), (GateVerdict::Consistent, 0, 0));
}

/// A node that may run programs unseen, but has all that others have, holds up nobody.
#[test]
fn what_hides_nothing_fails_no_gate() {
    assert_eq!(ask("hidden_thing", "test", "prod", Severity::Warning).verdict, GateVerdict::Consistent);
}

#[test]
fn the_gate_says_why() {
    let drift = ask("differs", "staging", "prod", Severity::Warning);
    assert_eq!(drift.findings[0].summary, "staging has 4096, prod has 65535");
    let cannot = ask("stale_environment", "staging", "prod", Severity::Warning);
    assert_eq!((cannot.unknowns[0].reason.as_str(), cannot.unknowns[0].nodes.len()), ("stale", 2));
}

#[test]
fn nothing_to_compare_is_no_success() {
    let outcome = ask("equal", "staging", "nowhere", Severity::Critical);
    assert_eq!((outcome.verdict, outcome.unknowns[0].reason.as_str()), (GateVerdict::CannotTell, NO_NODES));
    let mut fleet = scenario("equal").fleet();
    let moved = |node: &Arc<Node>| match node.environment {
        1 => Arc::new(Node { role: "web".into(), ..Node::clone(node) }),
        _ => Arc::clone(node),
    };
    fleet.nodes = fleet.nodes.iter().map(moved).collect();
    let outcome = gate(&fleet, &Policy::default_policy(), "staging", "prod", Severity::Critical, now());
    assert_eq!(
        (outcome.verdict, outcome.unknowns[0].reason.as_str()),
        (GateVerdict::CannotTell, NO_COMMON_ROLE)
    );
}

#[test]
fn a_gate_looks_at_its_two_environments_only() {
    let outcome = ask("several_environments", "test", "prod", Severity::Info);
    assert_eq!(outcome.verdict, GateVerdict::Consistent);
}

#[test]
fn values_name_who_holds_what() {
    let values = values(&scenario("unreadable_majority").fleet(), "sysctl.net.core.somaxconn");
    let staging = &values.roles[0].environments[0];
    assert_eq!(staging.environment, "staging");
    assert_eq!(staging.values[0].state, State::Unreadable);
    assert_eq!(staging.values[0].reason.as_deref(), Some("permission"));
    assert_eq!(staging.values[0].nodes, ["stg-a-1", "stg-a-2", "stg-a-3"]);
    assert_eq!(staging.values[1].value.as_deref(), Some("4096"));
    assert_eq!(values.roles[0].environments[1].values[0].nodes, ["prod-1", "prod-2"]);
}

#[test]
fn values_below_an_unreadable_path_and_of_things() {
    let fleet = scenario("unreadable_subtree").fleet();
    let below = values(&fleet, "sysctl.net.core.wmem_max");
    assert_eq!(below.roles[0].environments[0].values[0].reason.as_deref(), Some("permission"));
    let thing = values(&scenario("missing_thing").fleet(), "go.program[github.com/acme/pay]");
    let states: Vec<State> = thing.roles[0].environments.iter().map(|found| found.values[0].state).collect();
    assert_eq!(states, [State::Absent, State::Present]);
    assert_eq!(values(&fleet, "no.such.fact").roles, []);
}

#[test]
fn values_of_stale_nodes_are_not_shown() {
    let values = values(&scenario("stale_node").fleet(), "sysctl.net.core.somaxconn");
    let staging = &values.roles[0].environments[0];
    assert_eq!((staging.values.len(), staging.stale.as_slice()), (1, &["stg-b".to_owned()][..]));
}

#[test]
fn a_finding_is_explained_by_its_id_and_by_its_path() {
    let fleet = scenario("differs").fleet();
    let policy = Policy::default_policy();
    let query = Query::default();
    let id = evaluate(&fleet, &policy, &query, now()).findings[0].id.clone();
    let explanation = explain(&fleet, &policy, &query, now(), &id).unwrap();
    assert_eq!(explanation, explain(&fleet, &policy, &query, now(), "sysctl.net.core.somaxconn").unwrap());
    assert_eq!(explanation.findings[0].id, id);
    let rules: Vec<_> =
        explanation.rules.iter().map(|rule| (&*rule.attribute, &*rule.value, rule.rule.as_deref())).collect();
    assert_eq!(
        rules,
        [
            ("class", "config", None),
            ("compare", "integer", Some("sysctl.*")),
            ("severity", "critical", Some("sysctl.net.core.somaxconn"))
        ]
    );
    assert_eq!(explanation.values, values(&fleet, "sysctl.net.core.somaxconn"));
}

/// Promise: whoever asks about what the next boot changes is not told to make nodes alike.
#[test]
fn what_the_next_boot_changes_is_advised_as_that() {
    let advice = |name: &str, path: &str| {
        let fleet = scenario(name).fleet();
        let explained = explain(&fleet, &Policy::default_policy(), &Query::default(), now(), path);
        explained.unwrap().advice.unwrap().remedy
    };
    let latent = advice("latent_sysctl", "sysctl.net.core.somaxconn");
    assert!(latent.starts_with("Decide which of the two is right: keep what runs,"), "{latent}");
    let kernel = advice("latent_kernel", "kernel.release");
    assert!(kernel.starts_with("Reboot when it suits you"), "{kernel}");
    let differs = advice("differs", "sysctl.net.core.somaxconn");
    assert!(differs.starts_with("Raise the lower side"), "{differs}");
}

#[test]
fn what_is_hidden_equal_or_unknown_is_explained_too() {
    let policy = Policy::default_policy();
    let explain =
        |name: &str, path: &str| explain(&scenario(name).fleet(), &policy, &Query::default(), now(), path);
    assert_eq!(explain("info_hidden", "sysctl.vm.laptop_mode").unwrap().findings.len(), 1);
    assert_eq!(explain("equal", "sysctl.net.core.somaxconn").unwrap().findings, []);
    assert_eq!(
        explain("unreadable_subtree", "sysctl.net.core.wmem_max").unwrap().unknowns[0].path,
        "sysctl.net"
    );
    // A fact of a missing thing is explained by the thing.
    let fact = explain("missing_thing", "go.program[github.com/acme/pay].version").unwrap();
    assert_eq!(fact.findings[0].path, "go.program[github.com/acme/pay]");
    assert_eq!(explain("equal", "f-aaaaaaaaaa"), None);
    assert_eq!(explain("equal", "no.such.fact"), None);
}

#[test]
fn two_snapshots_without_a_collector() {
    let snapshot = |host: &str, release: &str| {
        let mut kernel = SectionBuilder::new("kernel");
        kernel.present(FactPath::known("kernel.release"), release);
        Snapshot {
            taken_at: now(),
            agent: "0.1.0".into(),
            host: host.into(),
            environment: None,
            role: String::new(),
            sections: vec![kernel.finish()],
        }
    };
    let fleet = Fleet::from_snapshots([
        ("a.json".to_owned(), snapshot("a", "6.1.0-18-amd64")),
        ("b.json".to_owned(), snapshot("b", "6.1.0-9-amd64")),
    ]);
    let report = evaluate(&fleet, &Policy::default_policy(), &Query::default(), now());
    assert_eq!(report.reference, "b.json");
    assert_eq!(report.findings[0].summary, "a.json has 6.1.0-18-amd64, newer than b.json's 6.1.0-9-amd64");
}
