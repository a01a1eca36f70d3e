//! Small fleets and the reports that they give: `scenarios/NAME.toml` -> `scenarios/NAME.json`. `UPDATE_GOLDEN=1`
//! rewrites the reports; read the difference before believing it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;
use evenkeel_drift::report::{Kind, Report};
use evenkeel_drift::{Lasting, evaluate, evaluate_lasting};
use jiff::{SignedDuration, Timestamp};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    paths
}

fn read(path: &Path) -> Scenario {
    toml::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn report(scenario: &Scenario, turn: usize) -> String {
    let mut fleet = scenario.fleet();
    let mut nodes: Vec<_> = fleet.nodes.iter().cloned().collect();
    let length = nodes.len();
    nodes.rotate_left(turn % length);
    if turn % 2 == 1 {
        nodes.reverse();
    }
    fleet.nodes = nodes.into_iter().collect();
    let report = evaluate(&fleet, &scenario.policy(), &scenario.query(), scenario.now());
    serde_json::to_string_pretty(&report).unwrap() + "\n"
}

#[test]
fn every_scenario_gives_its_report() {
    let mut wrong = Vec::new();
    for path in scenarios() {
        let (golden, report) = (path.with_extension("json"), report(&read(&path), 0));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &report).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != report {
            wrong.push(format!("{}: the report is\n{report}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Promise: a report that is kept is the one that would be made anew, for as long as it says; and what ends it is no
/// later than the first acceptance that expires or deadline that passes.
#[test]
fn a_report_lasts_as_long_as_it_says() {
    let (mut expired, mut late) = (false, false);
    for path in scenarios() {
        let scenario = read(&path);
        let (fleet, policy, query) = (scenario.fleet(), scenario.policy(), scenario.query());
        let at = |moment: Timestamp| evaluate(&fleet, &policy, &query, moment);
        let mut now = scenario.now();
        // From one such moment to the next.
        loop {
            let Lasting { mut report, until } = evaluate_lasting(&fleet, &policy, &query, now);
            assert_eq!(report, at(now), "{}", path.display());
            let last = until - SignedDuration::from_nanos(1);
            for moment in [now + last.duration_since(now) / 2, last] {
                report.as_of = moment;
                assert_eq!(report, at(moment), "{}: of {now}, at {moment}", path.display());
            }
            if until == Timestamp::MAX {
                break;
            }
            let then = at(until);
            let lagging = |report: &Report| report.findings.iter().any(|found| found.kind == Kind::Lagging);
            expired |= report.summary.accepted > then.summary.accepted;
            late |= !lagging(&report) && lagging(&then);
            now = until;
        }
    }
    assert!(expired && late, "in some scenario an acceptance expires, in some a promotion is late");
}

#[test]
fn the_order_of_nodes_does_not_matter() {
    for path in scenarios() {
        let scenario = read(&path);
        let first = report(&scenario, 0);
        for turn in 1..6 {
            assert_eq!(
                report(&scenario, turn),
                first,
                "{} ({}), turned by {turn}",
                path.display(),
                scenario.about
            );
        }
    }
}

#[test]
fn there_are_enough_of_them() {
    assert!(scenarios().len() >= 60);
}
