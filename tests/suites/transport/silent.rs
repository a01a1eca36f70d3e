//! Connections that say nothing, more than there are descriptors.

use std::time::Instant;

use evenkeel_tests::harness::flood::Flood;
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, wait};
use evenkeel_tests::load::process::Process;

/// The collector's limit of descriptors.
const DESCRIPTORS: usize = 128;
const PATH: &str = "sysctl.net.core.somaxconn";

/// Promise: silent connections at ten times the limit of descriptors, on every port, keep nobody out: agents that are
/// connected report, a new one enrols and reports, people and Prometheus are answered, and no descriptor is missing.
#[test]
fn silent_connections_at_ten_times_the_limit_keep_nobody_out() {
    if !has_command("prlimit") {
        return skipped("transport (silent)", "prlimit is not installed");
    }
    let by = ["prlimit".into(), format!("--nofile={DESCRIPTORS}").into()];
    let mut collector = Collector::start(&Settings { by: by.into(), ..Settings::default() });
    let names = ["dev-1", "test-1", "stg-1", "prod-1"];
    let machines = names.map(Machine::new);
    let mut agents = Agent::all(&collector, machines.iter().zip(["dev", "test", "staging", "prod"]));

    let ports = collector.ports();
    let process = Process(collector.process().id());
    let (began, cpu) = (Instant::now(), process.cpu().unwrap());
    let floods = [ports.fleet, ports.enroll, ports.http].map(|port| Flood::new(port, 10 * DESCRIPTORS));
    let all_open = || {
        let opened = floods.each_ref().map(Flood::opened);
        if opened.iter().all(|opened| *opened >= 10 * DESCRIPTORS) {
            Ok(())
        } else {
            Err(format!("{opened:?}"))
        }
    };
    wait::until(all_open);

    for round in 0..5 {
        let value = (5_000 + round).to_string();
        for machine in &machines {
            machine.sysctl("net.core.somaxconn", &value);
        }
        for name in names {
            wait::until(|| match collector.cli().fact(name, PATH) {
                Some(held) if held == value => Ok(()),
                held => Err(format!("{name} has {held:?}")),
            });
        }
    }
    let newcomer = Machine::new("stg-2");
    Agent::start(&collector, newcomer.node("staging")).wait_acknowledged();
    // Agents that lost their connection come back, too.
    collector.process().signal(nix::sys::signal::Signal::SIGSTOP);
    for agent in &mut agents {
        agent.process().kill();
        agent.run();
    }
    collector.process().signal(nix::sys::signal::Signal::SIGCONT);
    machines[2].sysctl("net.core.somaxconn", "6000");
    wait::until(|| match collector.cli().fact("stg-1", PATH) {
        Some(held) if held == "6000" => Ok(()),
        held => Err(format!("stg-1 has {held:?}")),
    });

    let made_room = collector.connections("made_room");
    assert!(made_room > 0, "nobody made room");
    assert_eq!(collector.connections("no_descriptor"), 0, "a descriptor was missing");
    let cores = process.cpu().unwrap().saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    #[expect(clippy::print_stderr, reason = "a figure is not asserted: make bench has it")]
    {
        eprintln!(
            "{made_room} made room; the collector took {cores:.2} of a core, in a build that is not optimised"
        );
    }
}

/// Promise: a limit that is lowered while the collector runs, so that it runs out of descriptors after all, keeps nobody
/// out either: somebody who is silent goes, and the collector does not turn in circles.
#[test]
fn descriptors_that_run_out_after_all() {
    if !has_command("prlimit") {
        return skipped("transport (descriptors)", "prlimit is not installed");
    }
    let mut collector = Collector::default();
    let machine = Machine::new("stg-1");
    let mut agent = Agent::start(&collector, machine.node("staging"));
    agent.wait_acknowledged();
    let id = collector.process().id().to_string();
    let limit = format!("--nofile={DESCRIPTORS}");
    let lowered = std::process::Command::new("prlimit").args(["--pid", &id, &limit]).status();
    assert!(lowered.unwrap().success());
    let flood = Flood::new(collector.ports().fleet, 2 * DESCRIPTORS);
    // The other ports have no descriptor either, so what happened is seen by who still reports.
    agent.process().kill();
    machine.sysctl("net.core.somaxconn", "7000");
    agent.run();
    agent.wait_acknowledged();
    wait::until(|| match collector.cli().fact("stg-1", PATH) {
        Some(held) if held == "7000" => Ok(()),
        held => Err(format!("stg-1 has {held:?}")),
    });
    drop(flood);
    wait::until(|| match collector.connections("no_descriptor") {
        count if count > 0 => Ok(()),
        count => Err(format!("{count} connections found no descriptor")),
    });
}
