//! The rules, the example configurations, the dashboard and the runbooks: each is what the others and the collector say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::skip::{has_command, skipped};
use serde_json::Value;

use super::every_metric;

/// Where the package `evenkeel` lays docs/runbooks.md down.
const RUNBOOKS: &str = "file:///usr/share/doc/evenkeel/docs/runbooks.md";

pub(super) fn read(path: &str) -> String {
    fs::read_to_string(tree().join(path)).unwrap()
}

/// The dashboard's panels: their titles, and the expressions that each shows.
pub(crate) fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/evenkeel.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap().iter();
            (text(&panel["title"]), targets.map(|target| text(&target["expr"])).collect())
        })
        .collect()
}

/// Promise: Prometheus' and Alertmanager's own checkers find nothing in what we ship for them, and the rules fire and rest as
/// their tests say.
#[test]
fn their_own_checkers_find_nothing() {
    let Some(missing) = ["promtool", "amtool"].into_iter().find(|name| !has_command(name)) else {
        let directory = tree().join("deploy/prometheus");
        check(&directory, "promtool", &["check", "rules", "recording.yml", "alerting.yml"]);
        check(&directory, "promtool", &["test", "rules", "rules_test.yml"]);
        check(&directory, "promtool", &["check", "config", "prometheus.yml"]);
        check(&directory, "amtool", &["check-config", "alertmanager.yml"]);
        return;
    };
    skipped("observability", &format!("{missing} is not installed"));
}

fn check(directory: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    run(command.args(arguments).current_dir(directory)).ok();
}

/// Promise: each alert has one of three levels, a runbook, and a test; and each runbook is an alert's.
#[test]
fn every_alert_has_its_runbook() {
    let (rules, runbooks) = (read("deploy/prometheus/alerting.yml"), read("docs/runbooks.md"));
    let tests = read("deploy/prometheus/rules_test.yml");
    let mut alerts = BTreeSet::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split(' ').next());
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{name} is {severity:?}");
        let link = format!("runbook_url: {RUNBOOKS}#{}\n", name.to_lowercase());
        assert!(rule.contains(&link), "{name} has no {link}");
        assert!(tests.contains(name), "{name} is in no test of the rules");
        alerts.insert(name.to_owned());
    }
    let sections = runbooks.lines().filter_map(|line| line.strip_prefix("### ").map(str::to_owned));
    assert_eq!(sections.collect::<BTreeSet<_>>(), alerts);
    assert!(alerts.len() > 10);
}

/// Promise: rules, dashboard and documents speak of metrics that there are.
#[test]
fn they_speak_of_metrics_that_there_are() {
    let metrics = every_metric();
    let mut there: BTreeSet<String> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next().map(str::to_owned))
        .collect();
    let described = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    there.extend(described.map(str::to_owned));
    let rules: String = ["recording", "alerting", "rules_test"]
        .map(|name| read(&format!("deploy/prometheus/{name}.yml")))
        .concat();
    let shown: String =
        panels().into_iter().flat_map(|(_, expressions)| expressions).collect::<Vec<_>>().join("\n");
    let documents =
        [read("docs/observability.md"), read("docs/runbooks.md"), read("docs/alerts.md")].concat();
    let mut named = 0;
    for text in [rules, shown, documents] {
        // A recorded series has a colon; it is no metric of the collector.
        for word in text.split(|one: char| !one.is_ascii_alphanumeric() && !['_', ':'].contains(&one)) {
            let is_ours = ["evenkeel_", "grpc_server_", "http_request_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix));
            if is_ours && !word.contains(':') {
                assert!(there.contains(word), "{word} is spoken of, and is not in\n{metrics}");
                named += 1;
            }
        }
    }
    assert!(named > 60, "only {named} were found");
}
