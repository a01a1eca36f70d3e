//! A real Prometheus scrapes a collector, and tells a real Alertmanager.

use std::fs;

use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::prometheus::{ALERTMANAGER, PROMETHEUS, Server};
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, wait};

use super::rules::panels;

/// The shipped rules and configuration, looked at each second, and of a patience that a test has.
fn prometheus(directory: &std::path::Path, collector: &Collector, alertmanager: &Server) -> Server {
    let shipped = |name: &str| fs::read_to_string(tree().join("deploy/prometheus").join(name)).unwrap();
    let (rules, config) = (shipped("alerting.yml"), shipped("prometheus.yml"));
    let patient = rules.matches("        for: ").count();
    assert!(patient > 10, "the rules wait");
    let hasty: Vec<&str> = rules.lines().filter(|line| !line.starts_with("        for: ")).collect();
    fs::write(directory.join("alerting.yml"), hasty.join("\n")).unwrap();
    fs::write(directory.join("recording.yml"), shipped("recording.yml")).unwrap();
    let config = config
        .replace("interval: 30s", "interval: 1s")
        .replace("127.0.0.1:9093", &alertmanager.address.to_string())
        .replace("127.0.0.1:7480", &collector.ports().http.to_string());
    Server::prometheus(directory, &config)
}

/// Promise: an alert on the collector's metrics fires and is over, from the node that falls silent to the Alertmanager; so does
/// the one that the collector itself is gone. Every expression of the dashboard is one that Prometheus understands.
#[test]
fn an_alert_fires_and_is_over() {
    let Some(missing) = [PROMETHEUS, ALERTMANAGER].into_iter().find(|name| !has_command(name)) else {
        return fires_and_is_over();
    };
    skipped("observability", &format!("{missing} is not installed"));
}

fn fires_and_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(&Settings { stale_after: "5s".to_owned(), ..Settings::default() });
    let machine = Machine::new("prod-1");
    let mut agent = Agent::start(&collector, machine.node("prod"));
    agent.wait_acknowledged();
    let config = fs::read_to_string(tree().join("deploy/prometheus/alertmanager.yml")).unwrap();
    let alertmanager = Server::alertmanager(directory.path(), &config);
    let prometheus = prometheus(directory.path(), &collector, &alertmanager);
    let until = |alert: &str, environment: Option<&str>, is_active: bool| {
        wait::until(|| {
            let active = alertmanager.active()?;
            let found = active.iter().any(|one| {
                one["labels"]["alertname"] == alert
                    && environment.is_none_or(|environment| one["labels"]["environment"] == environment)
            });
            if found == is_active { Ok(()) } else { Err(format!("{alert}: {found}; active: {active:?}")) }
        });
    };
    wait::until(|| match prometheus.get("/api/v1/query?query=sum(evenkeel_nodes)") {
        Ok(answer) if answer["data"]["result"][0]["value"][1] == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    until("EvenkeelNodesSilent", Some("prod"), false);
    agent.process().kill();
    until("EvenkeelNodesSilent", Some("prod"), true);
    agent.run();
    until("EvenkeelNodesSilent", Some("prod"), false);

    collector.kill();
    until("EvenkeelCollectorDown", None, true);
    collector.restart();
    until("EvenkeelCollectorDown", None, false);

    for (title, expressions) in panels() {
        for expression in expressions {
            let expression = expression.replace("$job", "evenkeel").replace("$__rate_interval", "1m");
            let encoded: Vec<String> = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let encoded = encoded.concat();
            let answer = prometheus.get(&format!("/api/v1/query?query={encoded}")).unwrap();
            assert_eq!(answer["status"], "success", "{title}: {expression}: {answer}");
        }
    }
}
