//! Nothing that was acknowledged is lost, and nothing that was seen is forgotten before it is acknowledged.

mod agents_disk;
mod backups;
mod clock;
mod crashes;
mod cut_off;
mod lost_answers;
mod retention;
mod strain;

use std::collections::BTreeSet;
use std::path::Path;

use evenkeel_drift::Report;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Agent, Collector, Machine, Process, journal, wait};

const NODES: [&str; 4] = ["dev-1", "test-1", "stg-1", "prod-1"];
/// How often the collector is killed.
const ROUNDS: usize = 20;
const PATH: &str = "sysctl.net.core.somaxconn";

fn fleet(collector: &Collector) -> (Vec<Machine>, Vec<Agent>) {
    let machines = NODES.map(Machine::new);
    let environments = ["dev", "test", "staging", "prod"];
    let agents = Agent::all(collector, machines.iter().zip(environments));
    (machines.into(), agents)
}

/// A report without the moment at which it was made.
fn timeless(collector: &Collector) -> Report {
    Report { as_of: jiff::Timestamp::UNIX_EPOCH, ..collector.cli().report(&["--all"]) }
}

/// Every acknowledgement that these agents have logged: node and root digest.
fn acknowledged(agents: &mut [Agent]) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for agent in agents {
        let id = agent.id().to_owned();
        all.extend(agent.acknowledged().into_iter().map(|root| (id.clone(), root)));
    }
    all
}

fn stored(data_dir: &Path) -> BTreeSet<(String, String)> {
    journal::commits(data_dir).into_iter().map(|(node, root)| (node, root.to_string())).collect()
}

/// Promise: a collector that is killed (`kill -9`) under reporting agents loses no acknowledged commit, and says after
/// its restart what it said before.
#[test]
fn a_killed_collector_loses_nothing_that_it_acknowledged() {
    let mut collector = Collector::default();
    let (machines, mut agents) = fleet(&collector);
    for round in 0..ROUNDS {
        // Every node has news in every round, and the collector is killed while they come in: as soon as one of them
        // (another one each round) is acknowledged.
        let first = round % agents.len();
        let known = agents[first].acknowledged().len();
        for machine in &machines {
            machine.sysctl("net.core.somaxconn", &(10_000 + round).to_string());
        }
        agents[first].wait_acknowledged_beyond(known);
        collector.kill();
        let acknowledged = acknowledged(&mut agents);
        let lost: Vec<_> = acknowledged.difference(&stored(&collector.data_dir())).cloned().collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and not in the journal: {lost:?}");
        collector.restart();
    }

    // The last state of every node arrives.
    let last = (10_000 + ROUNDS - 1).to_string();
    for machine in NODES {
        wait::until(|| match collector.cli().fact(machine, PATH) {
            Some(value) if value == last => Ok(()),
            other => Err(format!("{machine} has {other:?}")),
        });
    }
    machines[2].sysctl("net.core.somaxconn", "128");
    wait::until(|| match collector.cli().report(&[]).findings.as_slice() {
        [finding] if *finding.nodes == ["stg-1"] => Ok(()),
        findings => Err(format!("{findings:#?}")),
    });
    let before = timeless(&collector);
    collector.kill();
    collector.restart();
    assert_eq!(timeless(&collector), before);

    // Each value was taken in once, in order: history holds no repetition, whatever was sent again.
    for machine in NODES {
        let changes = collector.cli().history(machine, PATH).changes;
        let values: Vec<_> = changes.iter().rev().map(|change| change.after.value.clone()).collect();
        let mut in_order = values.clone();
        in_order.dedup();
        assert_eq!(values, in_order, "{machine}");
    }
}

/// Promise: a collector that is told to stop does so with success, and says the same after its restart.
#[test]
fn a_collector_that_is_stopped_says_the_same_again() {
    let mut collector = Collector::default();
    let (machines, mut agents) = fleet(&collector);
    machines[2].glibc("2.31");
    let known = agents[2].acknowledged().len();
    agents[2].wait_acknowledged_beyond(known);
    let before = timeless(&collector);
    assert_eq!(before.findings.len(), 1);
    assert!(collector.process().stop().success());
    collector.restart();
    assert_eq!(timeless(&collector), before);
}

/// Promise: an agent whose collector is away keeps its newest state on disk, also over a `kill -9` of its own, and
/// delivers it when the collector is back.
#[test]
fn what_is_not_acknowledged_is_kept_and_delivered() {
    let mut collector = Collector::default();
    let (machines, mut agents) = fleet(&collector);
    let agent = &mut agents[2];
    let pending = agent.state_dir().join("pending.json");
    assert!(!pending.exists(), "acknowledged, so nothing is pending");

    collector.kill();
    for value in ["20000", "20001"] {
        machines[2].sysctl("net.core.somaxconn", value);
        wait::until(|| {
            let kept = std::fs::read_to_string(&pending).map_err(|error| error.to_string())?;
            let said = format!("\"{PATH}\": \"{value}\"");
            if kept.contains(&said) { Ok(()) } else { Err(format!("{said} is not in {}", pending.display())) }
        });
    }
    agent.process().wait_for("Report not delivered.", |_| true);
    agent.process().kill();

    // The machine changes back while nobody looks: what was seen is delivered nevertheless, and then what is.
    machines[2].sysctl("net.core.somaxconn", "4096");
    collector.restart();
    agent.run();
    wait::until(|| {
        let changes = collector.cli().history("stg-1", PATH).changes;
        let values: Vec<_> = changes.iter().rev().map(|change| change.after.value.clone()).collect();
        if values == ["20001", "4096"] { Ok(()) } else { Err(format!("{values:?}")) }
    });
    wait::until(|| if pending.exists() { Err("it is still pending".to_owned()) } else { Ok(()) });
}

/// Promise: an agent may be killed at any moment: it goes on, its history is in order, and its node is one node.
#[test]
fn a_killed_agent_goes_on() {
    let collector = Collector::default();
    let (machines, mut agents) = fleet(&collector);
    let arrived = |value: &str| {
        wait::until(|| match collector.cli().fact("stg-1", PATH) {
            Some(held) if held == value => Ok(()),
            held => Err(format!("stg-1 has {held:?}")),
        });
    };
    for value in ["30000", "30001", "30002", "30003", "30004"] {
        machines[2].sysctl("net.core.somaxconn", value);
        arrived(value);
        // Once when all is said, and once when it has hardly begun.
        for _ in 0..2 {
            agents[2].process().kill();
            agents[2].run();
            agents[2].process().wait_for("Agent started.", |_| true);
        }
    }
    arrived("30004");
    let changes = collector.cli().history("stg-1", PATH).changes;
    let values: Vec<_> = changes.iter().rev().map(|change| change.after.value.clone()).collect();
    assert_eq!(values, ["30000", "30001", "30002", "30003", "30004"]);
    assert_eq!(collector.cli().nodes().nodes.len(), 4);
}

/// Promise: one data directory has one collector. A second one is refused before it touches anything.
#[test]
fn a_second_collector_is_refused() {
    let collector = Collector::default();
    let mut ports = collector.ports();
    for port in [&mut ports.fleet, &mut ports.enroll, &mut ports.http] {
        port.set_port(0);
    }
    run(&mut collector.command(ports)).refused(
        2,
        &format!(
            "evenkeel-collector cannot run: another collector uses {}: stop it, or use another data directory\n",
            collector.data_dir().display()
        ),
    );
    assert_eq!(collector.cli().nodes().nodes, []);
}

/// Promise: a port that is taken is named.
#[test]
fn a_taken_port_is_named() {
    let (first, second) = (Collector::default(), Collector::default());
    let mut second = second;
    assert!(second.process().stop().success());
    let mut process = Process::start(
        "evenkeel-collector",
        second.command(first.ports()),
        &second.directory().join("again.log"),
    );
    assert_eq!(process.end().code(), Some(2));
    let said = process.events();
    let expected = format!(
        "evenkeel-collector cannot run: cannot listen on {}: Address already in use (os error 98)",
        first.ports().fleet
    );
    let next = "Another program listens there: stop it, or choose another address with --listen, --enroll-listen or \
                --http-listen.";
    assert_eq!(said[said.len() - 2..], [serde_json::Value::from(expected), next.into()]);
}

/// Promise: a journal that is gone beside an authority that was used is no new beginning, in which everybody who was sent
/// away would be let in again: the collector says so and does not start, and starts as before once it is restored.
#[test]
fn a_lost_journal_is_no_new_beginning() {
    let mut collector = Collector::default();
    collector.token("dev", &[]);
    assert!(collector.process().stop().success());
    let journal = collector.data_dir().join(evenkeel_store::FILE);
    let aside = collector.directory().join("aside");
    std::fs::rename(&journal, &aside).unwrap();
    let refused = run(&mut collector.command(collector.ports()));
    let why = "it is gone, and the certificate authority beside it was used: restore it from a backup";
    let said = format!("{}: {why}", journal.display());
    assert_eq!((refused.code, refused.stderr.contains(&said)), (Some(2), true), "{refused:#?}");
    assert!(!journal.exists(), "nothing was made in its place");
    std::fs::rename(&aside, &journal).unwrap();
    collector.restart();
    assert!(collector.cli().ok(&["token", "list"]).contains("dev"));
}
