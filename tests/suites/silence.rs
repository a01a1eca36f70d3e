//! What is not heard, or may not be read, is named and counted. It is never drift, and never taken for equal.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use evenkeel_drift::GateOutcome;
use evenkeel_drift::report::Finding;
use evenkeel_tests::harness::skip::{is_root, skipped};
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, Node, Settings, wait};

fn is_fresh(cli: &Cli, name: &str) -> bool {
    cli.nodes().nodes.iter().any(|node| node.name == name && node.fresh)
}

/// Promise: an agent that stops is stale after its deadline, named, and raises no drift, whatever it said last; when it
/// is back it is compared again.
#[test]
fn a_silent_node_is_stale_and_no_drift() {
    let collector = Collector::start(&Settings { stale_after: "3s".to_owned(), ..Settings::default() });
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].sysctl("net.core.somaxconn", "128");
    let mut agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    let cli = collector.cli();
    let drift = |findings: Vec<Finding>| findings.into_iter().map(|finding| finding.path).collect::<Vec<_>>();
    wait::until(|| match drift(cli.report(&[]).findings).as_slice() {
        [path] if path == "sysctl.net.core.somaxconn" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    assert!(agents[0].process().stop().success(), "an agent that is told to stop says so by its exit code");
    wait::until(|| if is_fresh(&cli, "stg-1") { Err("stg-1 is fresh".to_owned()) } else { Ok(()) });
    let report = cli.report(&["--all"]);
    assert_eq!(drift(report.findings), Vec::<String>::new());
    let staging = report.environments.iter().find(|environment| environment.name == "staging").unwrap();
    assert_eq!((staging.nodes, staging.fresh, staging.stale), (1, 0, 1));
    assert_eq!(staging.stale_nodes, ["stg-1"]);
    assert!(is_fresh(&cli, "prod-1"));
    for (arguments, line) in [(&["report"][..], "stg-1"), (&["nodes"], "stale")] {
        let table = cli.ok(arguments);
        assert!(table.contains(line), "{line:?} is not in\n{table}");
    }
    // Nothing can be said of staging: not equal, not different.
    assert_eq!(cli.run(&["gate", "--from", "staging", "--to", "prod"]).code, Some(3));

    agents[0].run();
    wait::until(|| if is_fresh(&cli, "stg-1") { Ok(()) } else { Err("stg-1 is stale".to_owned()) });
    assert_eq!(drift(cli.report(&[]).findings), ["sysctl.net.core.somaxconn"]);
    assert_eq!(cli.run(&["gate", "--from", "staging", "--to", "prod"]).code, Some(1));
}

/// Promise: what the agent may not read is unreadable, lowers coverage, is named in the report, and a gate that it could
/// have failed says that it cannot tell: 3, not 1 and not 0. What cannot fail it does not make it useless.
#[test]
fn what_may_not_be_read_is_unknown() {
    if !is_root() {
        return skipped("silence", "only root can start an agent as another user");
    }
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    let secret = |path: &str| {
        let path = machines[0].root().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let nobody = Node {
        by: words("setpriv --reuid 65534 --regid 65534 --clear-groups"),
        ..machines[0].node("staging")
    };
    let mut agents =
        vec![Agent::enrol(&collector, nobody), Agent::start(&collector, machines[1].node("prod"))];
    agents[0].run();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let cli = collector.cli();
    let gate = || cli.run(&["gate", "--from", "staging", "--to", "prod"]).code;
    assert_eq!(gate(), Some(0));

    // Nothing that fails this gate.
    secret("proc/sys/debug/exception-trace");
    let unreadable = |count: u64| {
        wait::until(|| {
            let nodes = cli.nodes().nodes;
            let found = nodes.iter().find(|node| node.name == "stg-1").map_or(0, |node| node.unreadable);
            if found == count { Ok(()) } else { Err(format!("{found} facts are unreadable")) }
        });
    };
    unreadable(1);
    assert_eq!(gate(), Some(0));
    assert_eq!(cli.run(&["gate", "--from", "staging", "--to", "prod", "--fail-on", "info"]).code, Some(3));

    secret("proc/sys/net/core/somaxconn");
    unreadable(2);
    assert_eq!(gate(), Some(3));
    assert_eq!(cli.fact("stg-1", "sysctl.net.core.somaxconn").as_deref(), Some("permission"));
    let report = cli.report(&["--all"]);
    assert_eq!(report.findings, []);
    let coverage = |name: &str| {
        report.environments.iter().find(|environment| environment.name == name).unwrap().coverage
    };
    assert!(coverage("staging") < 1.0 && coverage("staging") > 0.9, "{}", coverage("staging"));
    assert!((coverage("prod") - 1.0).abs() < f64::EPSILON);
    let outcome = cli.run(&["gate", "--from", "staging", "--to", "prod", "-o", "json"]);
    let gate: GateOutcome = serde_json::from_str(&outcome.stdout).unwrap();
    let [unknown] = gate.unknowns.as_slice() else { panic!("{gate:#?}") };
    assert_eq!((unknown.path.as_str(), unknown.reason.as_str()), ("sysctl.net.core.somaxconn", "permission"));
    assert_eq!(*unknown.nodes, ["stg-1"]);
    assert_eq!(cli.run(&["report", "--exit-code"]).code, Some(3));

    // A difference that is seen is drift, whatever else is not seen.
    machines[1].sysctl("vm.swappiness", "10");
    wait::until(|| match cli.run(&["gate", "--from", "staging", "--to", "prod"]).code {
        Some(1) => Ok(()),
        code => Err(format!("the gate says {code:?}")),
    });
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(Into::into).collect()
}
