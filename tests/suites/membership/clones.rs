//! Two machines that hold one key are named, and neither is disabled.

use std::fs;

use evenkeel_drift::report::{Kind, Severity};
use evenkeel_tests::harness::cli::tool;
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, wait};

/// Promise: a cloned machine is noticed while both report, named with what is known of each, in `nodes` and as a
/// finding; when one of them is gone, the node is one machine again.
#[test]
fn two_live_holders_of_one_key() {
    let collector = Collector::start(&Settings { stale_after: "5s".into(), ..Settings::default() });
    let first_machine = Machine::new("web-1");
    let mut first = Agent::start(&collector, first_machine.node("dev"));
    first.wait_acknowledged();
    let id = first.id().to_owned();
    first.process().stop();
    // The clone: another machine with a copy of the state directory.
    let clone_machine = Machine::new("web-1-clone");
    let mut clone = Agent::enrol(&collector, clone_machine.node("dev"));
    let own = clone.id().to_owned();
    tool("cp", &["-a".as_ref(), first.state_dir().join(".").as_os_str(), clone.state_dir().as_os_str()]);
    // What its own enrolment said of its name goes with it.
    let enrolled = clone.state_dir().join("node.json");
    let text = fs::read_to_string(&enrolled).unwrap().replace("\"web-1\"", "\"web-1-clone\"");
    fs::write(&enrolled, text).unwrap();
    collector.cli().ok(&["node", "evict", &own]);
    first.run();
    clone.run();

    let holders = || {
        let nodes = collector.cli().nodes().nodes;
        nodes.into_iter().find(|node| node.id == id).map(|node| node.holders).unwrap_or_default()
    };
    wait::until(|| match holders().as_slice() {
        [one, other] if one == "web-1 at 127.0.0.1" && other == "web-1-clone at 127.0.0.1" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let table = collector.cli().ok(&["nodes"]);
    assert!(table.contains("cloned") && table.contains("2 machines hold its key"), "{table}");
    let findings = || {
        let found = collector.cli().report(&[]).findings;
        found.into_iter().filter(|finding| finding.path == "identity.key").collect::<Vec<_>>()
    };
    let [finding] = findings().try_into().expect("it is a finding");
    assert_eq!((finding.kind, finding.severity), (Kind::Duplicate, Severity::Critical));
    assert!(
        finding.summary.ends_with("2 machines hold its key: web-1 at 127.0.0.1, web-1-clone at 127.0.0.1")
    );
    assert!(
        first.process().logged("Agent ended.").is_empty()
            && clone.process().logged("Agent ended.").is_empty()
    );

    clone.process().kill();
    wait::until(|| match holders() {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
    assert!(findings().is_empty(), "it is over");
}

/// Promise: an agent that is started again and again is one machine.
#[test]
fn restarts_are_no_clones() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let mut agent = Agent::enrol(&collector, machine.node("dev"));
    for round in 0..5 {
        machine.sysctl("net.core.somaxconn", &(1000 + round).to_string());
        agent.run();
        agent.wait_acknowledged();
        agent.process().kill();
    }
    assert_eq!(collector.cli().nodes().nodes[0].holders, Vec::<String>::new());
}
