//! Tools that are not ours read a report: Python's gRPC, which knows nothing of evenkeel but what reflection tells it.

use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::skip::{cache, has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, programs};
use serde_json::Value;

/// Runs `third_party/ask.py` as this user; `None`: it cannot be run here.
fn ask(collector: &Collector, user: &str) -> Option<Outcome> {
    let packages = cache().join("python");
    if !has_command("python3") || !packages.join("grpc_reflection").exists() {
        skipped("third_party", "python3 or its gRPC is not there; tests/hosts/install.sh fetches it");
        return None;
    }
    let file = |name: &str| collector.directory().join(name);
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).arg(programs::tree().join("tests/suites/third_party/ask.py"));
    python.arg(collector.ports().fleet.to_string()).arg(file("ca.pem"));
    python.arg(file(&format!("{user}.cert.pem"))).arg(file(&format!("{user}.key.pem")));
    Some(run(&mut python))
}

/// Promise: a third-party gRPC client can read the report with a user's certificate, through reflection and without our
/// `.proto` files, and it reads what our own program shows.
#[test]
fn python_reads_the_report() {
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].sysctl("net.core.somaxconn", "128");
    let start =
        |(machine, environment): (&Machine, &str)| Agent::start(&collector, machine.node(environment));
    let mut agents: Vec<_> = machines.iter().zip(["staging", "prod"]).map(start).collect();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    collector.user("ada", "viewer");
    let Some(outcome) = ask(&collector, "ada") else { return };
    let said: Value = serde_json::from_str(&outcome.ok()).unwrap();
    let services: Vec<&str> = said["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in
        ["evenkeel.report.v1.ReportService", "evenkeel.fleet.v1.FleetService", "grpc.health.v1.Health"]
    {
        assert!(services.contains(&service), "{service} is not in {services:?}");
    }
    assert_eq!(said["health"]["status"], "SERVING");

    let shown: Value = collector.cli().json(&["report"]);
    let [theirs, ours] = [&said["report"], &shown].map(|report| &report["findings"]);
    assert_eq!(theirs.as_array().map(Vec::len), Some(1), "{said:#}");
    for field in ["id", "path", "summary", "nodes", "reason"] {
        assert_eq!(theirs[0][field], ours[0][field], "{field}");
    }
    assert_eq!(theirs[0]["severity"], "SEVERITY_CRITICAL");
    assert_eq!(said["report"]["schema"], shown["schema"]);
}

/// Promise: reflection does not open what the table of access closes.
#[test]
fn a_node_reads_nothing() {
    let collector = Collector::default();
    let machine = Machine::new("dev-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    for (from, to) in [("roots.crt", "ca.pem"), ("node.crt", "node.cert.pem"), ("node.key", "node.key.pem")] {
        std::fs::copy(agent.state_dir().join(from), collector.directory().join(to)).unwrap();
    }
    let Some(outcome) = ask(&collector, "node") else { return };
    assert_eq!(outcome.code, Some(1));
    let refused = format!(
        "node {} of dev may not call /grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo: it takes a user \
         of role viewer or above",
        agent.id()
    );
    assert!(outcome.stderr.contains(&refused), "{outcome:#?}");
}
