//! Small fleets and the reports that they give: `scenarios/NAME.toml` -> `scenarios/NAME.json`. `UPDATE_GOLDEN=1`
//! rewrites the reports; read the difference before believing it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;
use evenkeel_drift::evaluate;

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
    let length = fleet.nodes.len();
    fleet.nodes.rotate_left(turn % length);
    if turn % 2 == 1 {
        fleet.nodes.reverse();
    }
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
