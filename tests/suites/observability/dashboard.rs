//! The dashboard, held against Grafana's own model of one: Grafana publishes no JSON schema, and this library is made from what it
//! has in place of one.

use std::io::Write as _;
use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::Outcome;
use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::skip::{cache, has_command, skipped};

use super::rules::read;

/// Which fields of this dashboard Grafana's model does not keep, as JSON.
fn lost(dashboard: &str) -> String {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", cache().join("grafana"));
    command.arg(tree().join("tests/suites/observability/dashboard.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = command.spawn().unwrap();
    python.stdin.take().unwrap().write_all(dashboard.as_bytes()).unwrap();
    Outcome::of(python.wait_with_output().unwrap()).ok()
}

/// Promise: Grafana reads every field of the dashboard, and each is of the type that it has there.
#[test]
fn the_dashboard_is_one_of_grafanas() {
    if !has_command("python3") || !cache().join("grafana/grafana_foundation_sdk").exists() {
        return skipped(
            "observability",
            "python3 or Grafana's model is not there; tests/hosts/install.sh fetches it",
        );
    }
    let dashboard = read("deploy/grafana/evenkeel.json");
    assert_eq!(lost(&dashboard), "[]");
    // The check does check.
    let wrong = dashboard.replacen("\"gridPos\"", "\"gridPosition\"", 1);
    let wrong = wrong.replacen("\"schemaVersion\"", "\"schema\"", 1);
    assert_eq!(lost(&wrong), "[\".schema\", \".panels[0].gridPosition\"]");
}
