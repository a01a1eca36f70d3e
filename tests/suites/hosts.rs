//! Real agents on real hosts: six network namespaces, roots of two other Debian releases, real Go toolchains and
//! programs, enrolled over real TLS. What the platform's own tools say is the truth.

mod fleet;
mod truth;
mod zones;

use std::collections::BTreeSet;

use evenkeel_drift::report::{Finding, Kind, Severity, State, Status};
use evenkeel_tests::harness::wait;
use fleet::Fleet;
use jiff::Timestamp;
use truth::{Truth, is_held_elsewhere};

/// What was done to the fleet on purpose, and what the report must find: path, kind, severity, nodes.
const SEEDED: &[(&str, Kind, Severity, &[&str])] = &[
    ("glibc.version", Kind::Differs, Severity::Critical, &["stg-1", "stg-2"]),
    ("os.version_id", Kind::Differs, Severity::Warning, &["stg-1", "stg-2"]),
    ("tzdata.version", Kind::Differs, Severity::Critical, &["stg-1", "stg-2"]),
    ("go.version", Kind::Differs, Severity::Critical, &["stg-1", "stg-2"]),
    ("go.toolchain[/usr/local/go].version", Kind::Differs, Severity::Warning, &["stg-1", "stg-2"]),
    (
        "go.program[example.org/pay/cmd/pay].go_version",
        Kind::Differs,
        Severity::Critical,
        &["stg-1", "stg-2"],
    ),
    ("go.program[example.org/pay/cmd/ledger]", Kind::Missing, Severity::Warning, &["dev-1"]),
    ("sysctl.net.core.somaxconn", Kind::Differs, Severity::Critical, &["stg-1", "stg-2"]),
    ("sysctl.net.ipv4.tcp_fin_timeout", Kind::Differs, Severity::Warning, &["test-1"]),
];

/// Promise: every fact is what the platform's own tools say, on every host; the report finds each difference that was
/// made, names the right nodes, and finds nothing that is not a true difference.
#[test]
fn facts_are_true_and_so_is_the_report() {
    let Some(mut fleet) = Fleet::up() else { return };
    let truths = fleet.truths();
    for truth in &truths {
        let wrong = wait::until(|| match truth.held_against(&fleet.facts(&truth.node)) {
            Ok(checked) if checked > 600 => Ok(Vec::new()),
            Ok(checked) => Ok(vec![format!("only {checked} facts could be checked")]),
            // A key that changes by itself is right at the next sweep; what is wrong stays wrong.
            Err(wrong) => Err(format!("{}: {wrong:#?}", truth.node)),
        });
        assert_eq!(wrong, Vec::<String>::new(), "{}", truth.node);
    }

    let report = fleet.collector.cli().report(&[]);
    let found: BTreeSet<_> = report.findings.iter().map(shown).collect();
    for (path, kind, severity, nodes) in SEEDED {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        let seeded = ((*path).to_owned(), *kind, *severity, nodes);
        assert!(found.contains(&seeded), "{seeded:#?} is not among {found:#?}");
    }
    // Also what is hidden unless asked for.
    for finding in &fleet.collector.cli().report(&["--all"]).findings {
        // The one of them of which no tool of the platform speaks in these words.
        if finding.path != "glibc.package" && !is_held_elsewhere(&finding.path) {
            is_true(finding, &truths);
        }
    }
    assert_eq!(report.environments.iter().map(|environment| environment.fresh).sum::<u64>(), 6);
    assert_eq!(fleet.collector.cli().run(&["gate", "--from", "staging", "--to", "prod"]).code, Some(1));
}

fn shown(finding: &Finding) -> (String, Kind, Severity, Vec<String>) {
    (finding.path.clone(), finding.kind, finding.severity, finding.nodes.to_vec())
}

/// The finding's values are what the hosts' own tools say, in the numbers that it says; they differ; and exactly the
/// nodes that deviate from the reference are named.
fn is_true(finding: &Finding, truths: &[Truth]) {
    assert_eq!(finding.status, Status::Open);
    for value in &finding.values {
        let holders = of(truths, &value.environment).filter(|truth| match value.state {
            State::Present => {
                // Of a thing the report shows the version, where all that have it have the same.
                let said = [truth.says(&finding.path), truth.says(&format!("{}.version", finding.path))];
                // What runs is what the tools say; what the next boot brings, behind it, is held in suite `persisted`.
                let runs = value.value.as_deref().map(|value| value.split(", then ").next().unwrap_or(value));
                said[0].is_some() && (runs.is_none() || said.iter().any(|said| said.as_deref() == runs))
            }
            State::Absent => truth.says(&finding.path).is_none(),
            State::Unreadable => false,
        });
        assert_eq!(holders.count() as u64, value.nodes, "{finding:#?} is not true of {}", value.environment);
    }
    if finding.kind == Kind::Latent {
        return;
    }
    let reference = of(truths, "prod").next().unwrap().says(&finding.path);
    // Where the whole program is missing, that is another finding.
    let whole = finding.path.find("].").map_or(finding.path.as_str(), |end| &finding.path[..=end]);
    let deviating: Vec<_> = truths
        .iter()
        .filter(|truth| whole == finding.path || truth.says(whole).is_some())
        .filter(|truth| truth.says(&finding.path) != reference)
        .map(|truth| truth.node.clone())
        .collect();
    assert!(!deviating.is_empty(), "{finding:#?} is no difference");
    assert_eq!(*finding.nodes, *deviating, "{finding:#?}");
}

fn of<'a>(truths: &'a [Truth], environment: &'a str) -> impl Iterator<Item = &'a Truth> {
    truths.iter().filter(move |truth| truth.environment == environment)
}

/// Promise: `sysctl -w` in one namespace shows in the report after the next sweep and is gone when it is restored;
/// `since` is the time of the commit; history has both.
#[test]
fn a_sysctl_of_one_namespace_is_set_and_restored() {
    let Some(fleet) = Fleet::up() else { return };
    let (key, cli) = ("net.ipv4.tcp_keepalive_time", fleet.collector.cli());
    let path = format!("sysctl.{key}");
    let network = &fleet.host("test-1").network;
    let before = network.exec(&["sysctl", "-n", key]).trim().to_owned();
    let find = || cli.report(&[]).findings.into_iter().find(|finding| finding.path == path);
    assert_eq!(find(), None);

    network.sysctl(key, "600");
    let finding = wait::until(|| find().ok_or(format!("{path} is not found")));
    let now = Timestamp::now();
    assert_eq!(shown(&finding), (path.clone(), Kind::Differs, Severity::Warning, vec!["test-1".to_owned()]));
    assert_eq!(finding.summary, format!("test has 600, prod has {before}"));

    network.sysctl(key, &before);
    wait::until(|| find().map_or(Ok(()), |finding| Err(format!("{finding:#?}"))));
    let changes = cli.history("test-1", &path).changes;
    let values: Vec<_> =
        changes.iter().map(|change| (change.before.value.as_str(), change.after.value.as_str())).collect();
    assert_eq!(values, [("600", before.as_str()), (before.as_str(), "600")]);
    assert_eq!(finding.since, changes[1].at);
    assert!(changes[1].at < changes[0].at && changes[1].at <= now);
    assert_eq!(cli.history("prod-1", &path).changes, []);
}
