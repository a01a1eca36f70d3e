//! Agents report, the collector compares the environments, the command line shows where they differ.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use evenkeel_drift::report::{Finding, Kind, Severity, Status};
use evenkeel_drift::{Explanation, GateOutcome, Report, Values};
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, programs};
use serde_json::{Value, json};

/// The founding incident: staging has another Go, another glibc, another time zone database than prod, and more. One
/// of its three nodes also has another `vm.swappiness`.
struct Incident {
    agents: Vec<Agent>,
    collector: Collector,
    machines: Vec<Machine>,
}

const NODES: [(&str, &str); 6] = [
    ("dev-1", "dev"),
    ("test-1", "test"),
    ("stg-1", "staging"),
    ("stg-2", "staging"),
    ("stg-3", "staging"),
    ("prod-1", "prod"),
];
const STAGING: &[&str] = &["stg-1", "stg-2", "stg-3"];

fn incident() -> Incident {
    let collector = Collector::default();
    let machines: Vec<Machine> = NODES.iter().map(|(name, _)| Machine::new(name)).collect();
    for staging in &machines[2..5] {
        staging.sysctl("net.core.somaxconn", "128");
        staging.glibc("2.31");
        staging.tzdata("2024a");
        staging.go("1.20.14");
        staging.program("pay", "1.20.14", &[("golang.org/x/net", "v0.20.0")]);
    }
    machines[3].sysctl("vm.swappiness", "10");
    machines[1].program("ledger", "1.21.13", &[]);
    let nodes = machines.iter().zip(NODES).map(|(machine, (_, environment))| machine.node(environment));
    let mut agents: Vec<_> = nodes.map(|node| Agent::start(&collector, node)).collect();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    Incident { agents, collector, machines }
}

/// Every difference that was seeded: path, kind, severity, the nodes that deviate.
const SEEDED: &[(&str, Kind, Severity, &[&str])] = &[
    ("glibc.version", Kind::Differs, Severity::Critical, STAGING),
    ("go.program[example.org/ledger]", Kind::Missing, Severity::Warning, &["test-1"]),
    ("go.program[example.org/pay].go_version", Kind::Differs, Severity::Critical, STAGING),
    ("go.program[example.org/pay].module[golang.org/x/net]", Kind::Differs, Severity::Warning, STAGING),
    ("go.toolchain[/usr/local/go].version", Kind::Differs, Severity::Warning, STAGING),
    ("go.version", Kind::Differs, Severity::Critical, STAGING),
    ("sysctl.net.core.somaxconn", Kind::Differs, Severity::Critical, STAGING),
    ("sysctl.vm.swappiness", Kind::Split, Severity::Warning, &["stg-2"]),
    ("tzdata.version", Kind::Differs, Severity::Critical, STAGING),
];

fn paths(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding.path.as_str()).collect()
}

/// Promise: the report finds each difference, names the right nodes, and finds nothing else.
#[test]
fn the_report_finds_what_was_seeded_and_nothing_else() {
    let incident = incident();
    let Report { findings, summary, unknowns, .. } = incident.collector.cli().report(&["--all"]);
    let found: BTreeSet<_> = findings
        .iter()
        .map(|finding| {
            let nodes: Vec<&str> = finding.nodes.iter().map(String::as_str).collect();
            (finding.path.as_str(), finding.kind, finding.severity, nodes)
        })
        .collect();
    let seeded: BTreeSet<_> =
        SEEDED.iter().map(|&(path, kind, severity, nodes)| (path, kind, severity, nodes.to_vec())).collect();
    assert_eq!(found, seeded);
    assert_eq!(unknowns, []);
    assert!(findings.iter().all(|finding| finding.status == Status::Open));
    assert_eq!((summary.critical, summary.warning, summary.info, summary.unknown), (5, 4, 0, 0));

    let narrowed = |arguments: &[&str]| incident.collector.cli().report(arguments).findings.len();
    assert_eq!(narrowed(&["--severity", "critical"]), 5);
    assert_eq!(narrowed(&["--env", "dev", "--env", "prod"]), 0);
    assert_eq!(narrowed(&["--reference", "test", "--env", "test", "--env", "prod"]), 1);
}

/// Promise: the JSON of a report has the fields that others rely on, named and shaped as promised.
#[test]
fn the_report_as_json_is_as_promised() {
    let incident = incident();
    let report: Value = incident.collector.cli().json(&["report"]);
    let prod_last = ["dev", "test", "staging", "prod"].map(Value::from).to_vec();
    assert_eq!(report["schema"], "evenkeel.report/v1");
    assert_eq!((&report["policy"], &report["reference"]), (&json!("default@1"), &json!("prod")));
    assert!(report["journal"].as_u64().is_some_and(|position| position >= 10), "{report:#}");
    assert!(is_time(&report["as_of"]), "{report:#}");
    let environments = report["environments"].as_array().unwrap();
    let names: Vec<_> = environments.iter().map(|environment| environment["name"].clone()).collect();
    assert_eq!(names, prod_last);
    assert_eq!(
        environments[2],
        json!({"name": "staging", "nodes": 3, "fresh": 3, "stale": 0, "stale_nodes": [], "coverage": 1.0})
    );
    let findings = report["findings"].as_array().unwrap();
    let mut finding =
        findings.iter().find(|finding| finding["path"] == "sysctl.net.core.somaxconn").unwrap().clone();
    let (id, since) = (finding["id"].take(), finding["since"].take());
    assert!(id.as_str().is_some_and(|id| id.starts_with("f-") && id.len() > 6), "{id}");
    assert!(is_time(&since), "{since}");
    let value = |environment: &str, value: &str, nodes: u64| json!({"environment": environment, "value": value, "state": "present", "nodes": nodes});
    assert_eq!(
        finding,
        json!({
            "id": null, "path": "sysctl.net.core.somaxconn", "kind": "differs", "severity": "critical",
            "status": "open", "role": "",
            "values": [value("prod", "4096", 1), value("staging", "128", 3), value("test", "4096", 1), value("dev", "4096", 1)],
            "nodes": STAGING, "since": null,
            "summary": "staging has 128, prod has 4096",
            "reason": "The length of every listen queue: too short, and connections are dropped under load that another environment carries.",
        })
    );
    assert_eq!(
        report["summary"],
        json!({"critical": 5, "warning": 4, "info": 0, "explained": 0, "accepted": 0, "unknown": 0})
    );
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

/// Promise: a person who asks further is told who has what, and which rule decided.
#[test]
fn a_person_asks_further() {
    let incident = incident();
    let cli = incident.collector.cli();

    let table = cli.ok(&["report"]);
    for line in [
        "4 environments, 6 nodes, reference prod",
        "staging has 128, prod has 4096",
        "5 critical, 4 warnings",
    ] {
        assert!(table.contains(line), "{line:?} is not in\n{table}");
    }

    let explained: Explanation = cli.json(&["explain", "go.version"]);
    assert_eq!(explained.findings[0].summary, "staging has 1.20.14, older than prod's 1.21.13");
    assert!(
        explained
            .rules
            .iter()
            .any(|rule| rule.value == "critical" && rule.rule.as_deref() == Some("go.version"))
    );
    let by_id: Explanation = cli.json(&["explain", &explained.findings[0].id]);
    assert_eq!(by_id.path, "go.version");

    let values: Values = cli.json(&["values", "sysctl.vm.swappiness"]);
    let staging = &values.roles[0].environments[2];
    let held: Vec<_> =
        staging.values.iter().map(|held| (held.value.clone().unwrap(), held.nodes.clone())).collect();
    assert_eq!(held.len(), 2);
    assert!(held.contains(&("10".to_owned(), vec!["stg-2".to_owned()])), "{held:?}");

    let nodes = cli.nodes().nodes;
    let seen: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.environment.as_str())).collect();
    assert_eq!(seen, NODES);
    assert!(nodes.iter().all(|node| node.fresh && node.unreadable == 0 && node.facts > 80), "{nodes:#?}");

    assert_eq!(cli.fact("stg-1", "glibc.version").as_deref(), Some("2.31"));
    assert_eq!(
        cli.fact("prod-1", "go.program[example.org/pay].module[golang.org/x/net]").as_deref(),
        Some("v0.24.0")
    );

    let diff: Report = cli.json(&["diff", "staging", "prod"]);
    assert_eq!(diff.findings.len(), 8);
    let between: Report = cli.json(&["diff", "node/stg-1", "node/stg-2"]);
    assert_eq!(paths(&between.findings), BTreeSet::from(["sysctl.vm.swappiness"]));
}

/// Promise: exit codes are 0 consistent, 1 drift, so that a pipeline can rely on them.
#[test]
fn exit_codes() {
    let incident = incident();
    let cli = incident.collector.cli();
    let code = |arguments: &[&str]| cli.run(arguments).code;
    assert_eq!(code(&["gate", "--from", "staging", "--to", "prod"]), Some(1));
    assert_eq!(code(&["gate", "--from", "dev", "--to", "prod"]), Some(0));
    assert_eq!(code(&["gate", "--from", "test", "--to", "prod"]), Some(1));
    assert_eq!(code(&["gate", "--from", "test", "--to", "prod", "--fail-on", "critical"]), Some(0));
    assert_eq!(code(&["report"]), Some(0));
    assert_eq!(code(&["report", "--exit-code"]), Some(1));
    assert_eq!(code(&["report", "--exit-code", "--env", "dev", "--env", "prod"]), Some(0));
    assert_eq!(code(&["diff", "staging", "prod"]), Some(0));
    assert_eq!(code(&["diff", "staging", "prod", "--exit-code"]), Some(1));
    assert_eq!(code(&["diff", "dev", "prod", "--exit-code"]), Some(0));

    let outcome = cli.run(&["gate", "--from", "staging", "--to", "prod", "-o", "json"]);
    let gate: GateOutcome = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(gate.findings.len(), 8);
}

/// Promise: a finding is explained with when it changed and what to do, and what mends it is printed for the deviating
/// nodes with the reference's value. What the shell part says, a shell does; it is tried on a file of the test's own.
#[test]
fn a_finding_is_explained_and_its_remedy_printed() {
    let mut incident = incident();
    let cli = incident.collector.cli();
    incident.machines[2].sysctl("net.core.somaxconn", "256");
    let agent = &mut incident.agents[2];
    let known = agent.acknowledged().len();
    agent.wait_acknowledged_beyond(known);
    let path = "sysctl.net.core.somaxconn";
    let explained: Value = cli.json(&["explain", path]);
    assert_eq!(explained["changes"][0]["before"]["value"], "128", "{explained:#}");
    assert_eq!(explained["changes"][0]["after"]["value"], "256", "{explained:#}");
    // Those that deviate come first: here the one that changed, then those that are as they were at first.
    let (changed, rest) = explained["nodes"].as_array().unwrap().split_first().unwrap();
    assert_eq!((&changed["node"], &changed["since_first_report"]), (&json!("stg-1"), &json!(false)));
    assert_eq!((&changed["before"]["value"], &changed["now"]["value"]), (&json!("128"), &json!("256")));
    assert!(!rest.is_empty() && rest.iter().all(|node| node["since_first_report"] == true), "{rest:#?}");
    assert!(
        explained["advice"]["risk"].as_str().is_some_and(|risk| risk.contains("Listen queues")),
        "{explained:#}"
    );

    let id = explained["findings"][0]["id"].as_str().unwrap();
    let remedy: Value = cli.json(&["fix", id]);
    assert_eq!(remedy["nodes"], json!(STAGING));
    let prod = cli.fact("prod-1", path).unwrap();
    assert_eq!(remedy["value"], prod);
    let file = cli.ok(&["fix", id, "--as", "file"]);
    assert_eq!(file, format!("# evenkeel {id}\nnet.core.somaxconn = {prod}\n"));
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().display().to_string();
    let shell =
        cli.ok(&["fix", id, "--as", "shell"]).replace("/etc/sysctl.d", &own).replace("sysctl -p", "cat");
    let done = run(Command::new("sh").args(["-e", "-c", &shell])).ok();
    assert_eq!(done, format!("net.core.somaxconn = {prod}\n"));
    cli.run(&["fix", "hardware.cpu.count"]).refused(
        2,
        "evenkeel: there is no finding at \"hardware.cpu.count\" now: there is nothing to mend\n\
         `evenkeel report --all` lists what differs.\n",
    );
}

/// Promise: a reader that has seen enough is no error: `evenkeel report | head -0`.
#[test]
fn a_closed_pipe_is_success() {
    let incident = incident();
    for arguments in [&["report"][..], &["report", "-o", "json"], &["facts", "prod-1"], &["nodes"]] {
        let mut child = incident.collector.cli().command(arguments);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr), (Some(0), String::new()), "{arguments:?}");
    }
}

/// Promise: two machines are enough: snapshot files are compared by the same engine, without any collector.
#[test]
fn snapshot_files_without_a_collector() {
    let incident = incident();
    let directory = tempfile::tempdir().unwrap();
    let file = |machine: &Machine, name: &str| {
        let mut collect = Command::new(programs::path("evenkeel-agent"));
        let json = run(collect.arg("collect").arg("--root").arg(machine.root())).ok();
        let path = directory.path().join(name);
        fs::write(&path, json).unwrap();
        format!("file:{}", path.display())
    };
    let (dev, staging, prod) = (
        file(&incident.machines[0], "dev.json"),
        file(&incident.machines[2], "staging.json"),
        file(&incident.machines[5], "prod.json"),
    );
    let alone: Report = Cli::alone().json(&["diff", &staging, &prod]);
    let asked: Report = incident.collector.cli().json(&["diff", "node/stg-1", "node/prod-1"]);
    assert_eq!(paths(&alone.findings), paths(&asked.findings));
    assert_eq!(alone.findings.len(), 7);
    let mixed: Report = incident.collector.cli().json(&["diff", &staging, "prod"]);
    assert_eq!(paths(&mixed.findings), paths(&alone.findings));
    assert_eq!(Cli::alone().run(&["gate", &staging, &prod]).code, Some(1));
    assert_eq!(Cli::alone().run(&["gate", &dev, &prod]).code, Some(0));
}
