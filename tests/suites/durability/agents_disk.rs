//! The agent's disk loses its power while the agent holds what it could not deliver.

use std::path::Path;

use evenkeel_tests::harness::skip::{rounds, skipped};
use evenkeel_tests::harness::{Agent, Collector, Disk, Machine, Node, wait};

use super::PATH;
use super::crashes::EAT_MY_DATA;

/// A broken agent must be noticed within so many.
const ROUNDS_OF_CONTROL: usize = 10;

/// So many cuts, each with news that no collector takes. The error says what was forgotten.
fn survive(by: Vec<std::ffi::OsString>, rounds: usize) -> Result<(), String> {
    let (mut collector, machine, disk) = (Collector::default(), Machine::new("stg-1"), Disk::new(64));
    let state = disk.path().join("state");
    let node = Node { by, state: Some((state.clone(), state.clone())), ..machine.node("staging") };
    let mut agent = Agent::start(&collector, node);
    agent.wait_acknowledged();
    // Enrolment is another story.
    disk.sync();
    let pending = state.join("pending.json");
    for round in 0..rounds {
        let value = (20_000 + round).to_string();
        let said = format!("\"{PATH}\": \"{value}\"");
        let is_kept = || std::fs::read_to_string(&pending).is_ok_and(|kept| kept.contains(&said));
        collector.kill();
        machine.sysctl("net.core.somaxconn", &value);
        wait::until(|| if is_kept() { Ok(()) } else { Err(format!("{said} is not kept")) });
        // It is seen before it is on the disk; an agent that goes on to deliver it has waited for that.
        let tried = |agent: &mut Agent| agent.process().logged("Report not delivered.").len();
        let known = tried(&mut agent);
        wait::until(|| if tried(&mut agent) > known { Ok(()) } else { Err("it is not tried".to_owned()) });
        disk.cut();
        agent.process().kill();
        disk.again();
        if !is_kept() {
            return Err(format!("round {round}: {said} was kept, and is forgotten"));
        }
        collector.restart();
        agent.run();
        wait::until(|| match collector.cli().fact("stg-1", PATH) {
            Some(held) if held == value => Ok(()),
            held => Err(format!("stg-1 has {held:?}")),
        });
    }
    Ok(())
}

/// Promise P2: what an agent keeps until it is acknowledged survives a power cut of its machine, and is delivered.
/// `EVENKEEL_ROUNDS=N` cuts it so often.
#[test]
fn what_an_agent_keeps_survives_a_power_cut() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability (agent's disk)", why);
    }
    assert_eq!(survive(Vec::new(), rounds(3)), Ok(()));
}

/// Its control: an agent that does not wait for its disk is noticed.
#[test]
fn an_agent_that_does_not_wait_for_its_disk_is_noticed() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability (agent's disk)", why);
    }
    if !Path::new(EAT_MY_DATA).exists() {
        return skipped("durability (agent's disk)", "there is no libeatmydata (Debian: eatmydata)");
    }
    let by = vec!["env".into(), format!("LD_PRELOAD={EAT_MY_DATA}").into()];
    let why = survive(by, ROUNDS_OF_CONTROL).expect_err("it was not noticed");
    assert!(why.ends_with("is forgotten"), "{why}");
}
