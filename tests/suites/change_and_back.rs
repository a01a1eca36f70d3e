//! A change shows after the next sweep, with the time when it was taken in; undone, it is gone, and history has both.

use evenkeel_drift::report::State::{Absent, Present};
use evenkeel_drift::report::{Finding, Kind};
use evenkeel_render::history::{Change, Side};
use evenkeel_tests::harness::{Agent, Collector, Machine, wait};
use jiff::Timestamp;

const PATH: &str = "sysctl.net.core.somaxconn";

/// Promise: what changes is seen at the next sweep, `since` is the time of the commit that brought it, and the fact that
/// it was undone is as visible as that it was done.
#[test]
fn a_sysctl_is_changed_and_restored() {
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    let _agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    let cli = collector.cli();
    assert_eq!(cli.report(&["--all"]).findings, []);

    let before = Timestamp::now();
    machines[0].sysctl("net.core.somaxconn", "65535");
    let Finding { kind, nodes, since, summary, id, .. } = wait::until(|| {
        let report = cli.report(&[]);
        report.findings.first().cloned().ok_or_else(|| "nothing is found".to_owned())
    });
    let after = Timestamp::now();
    assert_eq!((kind, nodes.to_vec()), (Kind::Differs, vec!["stg-1".to_owned()]));
    assert_eq!(summary, "staging has 65535, prod has 4096");

    machines[0].sysctl("net.core.somaxconn", "4096");
    wait::until(|| match cli.report(&["--all"]).findings.as_slice() {
        [] => Ok(()),
        findings => Err(format!("{findings:#?}")),
    });

    let changes = cli.history("stg-1", PATH).changes;
    let [undone, done] = changes.as_slice() else { panic!("{changes:#?}") };
    let text = |Side { value, .. }: &Side| value.clone();
    let shown = |change: &Change| (text(&change.before), text(&change.after));
    assert_eq!(shown(done), ("4096".to_owned(), "65535".to_owned()));
    assert_eq!(shown(undone), ("65535".to_owned(), "4096".to_owned()));
    assert!(done.journal < undone.journal && done.at < undone.at, "{changes:#?}");
    // The report's time is the very time of the commit.
    assert_eq!(since, done.at);
    // Journal times have milliseconds.
    let floor = Timestamp::from_millisecond(before.as_millisecond()).unwrap();
    assert!(floor <= since && since <= after, "{floor} <= {since} <= {after}");
    assert_eq!(cli.history("prod-1", "*").changes, []);

    // The same difference again is the same finding, newly begun.
    machines[0].sysctl("net.core.somaxconn", "65535");
    let again =
        wait::until(|| cli.report(&[]).findings.first().cloned().ok_or("nothing is found".to_owned()));
    assert_eq!(again.id, id);
    assert!(again.since > undone.at, "{again:#?}");
}

/// Promise: a fact that goes away is a change, too, and one that was never there is none.
#[test]
fn a_program_is_installed_and_removed() {
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    let _agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    let cli = collector.cli();
    machines[1].program("ledger", "1.21.13", &[]);
    let missing =
        wait::until(|| cli.report(&[]).findings.first().cloned().ok_or("nothing is found".to_owned()));
    assert_eq!((missing.kind, missing.path.as_str()), (Kind::Missing, "go.program[example.org/ledger]"));
    std::fs::remove_file(machines[1].root().join("usr/local/bin/ledger")).unwrap();
    wait::until(|| match cli.report(&["--all"]).findings.as_slice() {
        [] => Ok(()),
        findings => Err(format!("{findings:#?}")),
    });
    let changes = cli.history("prod-1", "go.program[example.org/ledger].go_version").changes;
    let states: Vec<_> = changes.iter().map(|change| (change.before.state, change.after.state)).collect();
    assert_eq!(states, [(Present, Absent), (Absent, Present)]);
}
