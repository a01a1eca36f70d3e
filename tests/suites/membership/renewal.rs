//! Certificates that live for seconds, so that a day of renewals takes a minute; and the authority moves meanwhile.

use std::process::Command;

use evenkeel_runtime::keys;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, programs, wait};

/// As many agents report all the time.
const AGENTS: usize = 50;
/// A certificate is renewed once or twice in its life of a day.
const RENEWALS: usize = 2;

fn authority(collector: &Collector, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(programs::path("evenkeel-collector"));
    command.arg("ca").args(arguments).arg("--data-dir").arg(collector.data_dir());
    let outcome = run(&mut command);
    if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.stderr) }
}

/// Takes the next step as soon as nobody would be left behind by it.
fn rotate(collector: &Collector, state: &str) {
    let shown = wait::until(|| authority(collector, &["rotate"]));
    assert!(shown.contains(state), "{shown}");
}

fn renewals(agent: &mut Agent) -> usize {
    agent.process().logged("Certificate renewed.").len()
}

/// Promise: renewals, and a whole rotation of the certificate authority in the middle of them, lose no report and need
/// no restart.
#[test]
fn a_day_of_renewals_with_a_rotation_in_the_middle() {
    let collector = Collector::start(&Settings {
        config: "[certificates]\nnode_life = \"20s\"\nrecovery = \"1h\"".into(),
        ..Settings::default()
    });
    let machine = Machine::new("web");
    let mut agents: Vec<Agent> = Vec::new();
    for number in 0..AGENTS {
        let mut node = machine.node("dev");
        node.name = format!("web-{number}");
        let mut agent = Agent::enrol(&collector, node);
        agent.run_every("5s");
        agents.push(agent);
    }
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let everybody_renewed = |agents: &mut [Agent], times: usize| {
        wait::until(|| {
            let late = agents
                .iter_mut()
                .filter_map(|agent| (renewals(agent) < times).then(|| agent.name().to_owned()));
            let late: Vec<_> = late.collect();
            if late.is_empty() { Ok(()) } else { Err(format!("not yet renewed {times} times: {late:?}")) }
        });
    };
    everybody_renewed(&mut agents, RENEWALS);
    let mut known: Vec<usize> = agents.iter_mut().map(renewals).collect();
    rotate(&collector, "prepared");
    rotate(&collector, "retiring");
    rotate(&collector, "2           active");
    // Everybody goes on with the new authority alone.
    for (agent, known) in agents.iter_mut().zip(&mut known) {
        *known = renewals(agent).max(*known);
    }
    wait::until(|| {
        let root = keys::read_certificates(&collector.data_dir().join("ca/2/root.crt")).unwrap();
        let old = agents.iter().filter(|agent| {
            keys::read_certificates(&agent.state_dir().join("roots.crt")).unwrap_or_default() != root
        });
        let old: Vec<_> = old.map(Agent::name).collect();
        if old.is_empty() { Ok(()) } else { Err(format!("they still trust the old root: {old:?}")) }
    });
    machine.sysctl("net.core.somaxconn", "4242");
    for agent in &mut agents {
        let known = agent.acknowledged().len().saturating_sub(1);
        agent.wait_acknowledged_beyond(known);
    }
    for agent in &mut agents {
        let failed = agent.process().logged("Report not delivered.");
        assert!(failed.is_empty(), "{}: {failed:?}", agent.name());
        let late = agent.process().logged("The certificate was not renewed; trying again later.");
        assert!(late.is_empty(), "{}: {late:?}", agent.name());
    }
    let nodes = collector.cli().nodes().nodes;
    assert_eq!(nodes.iter().filter(|node| node.fresh).count(), AGENTS);
    assert!(nodes.iter().all(|node| node.holders.is_empty()));
}
