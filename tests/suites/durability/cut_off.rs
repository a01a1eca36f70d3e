//! The network of a node is gone: nothing arrives, and nobody is told.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_store::{Entry, StoreError};
use evenkeel_tests::harness::cli::script;
use evenkeel_tests::harness::hosts::Network;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, Node, Settings, programs, wait};

use super::PATH;

/// So often the machine changes while nobody hears of it.
const CHANGES: usize = 20;

/// Why it cannot be done here.
fn impossible() -> Option<&'static str> {
    match (is_root(), has_command("ip")) {
        (false, _) => Some("only root can make network namespaces"),
        (_, false) => Some("there is no ip (Debian: iproute2)"),
        _ => None,
    }
}

/// The bytes of all files below a directory.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                size(&entry.path())
            } else {
                entry.metadata().map_or(0, |file| file.len())
            }
        })
        .sum()
}

/// What the journal says of a node behind its first commit: each commit, and each time that it fell silent.
fn said_of(collector: &Collector, node: &str) -> Vec<&'static str> {
    let (_, reader) = evenkeel_store::open(&collector.data_dir()).unwrap();
    let mut said = Vec::new();
    reader
        .replay::<StoreError>(0, |record| {
            match record.entry {
                Entry::Committed(commit) if commit.node.to_string() == node => said.push("commit"),
                Entry::Presence(presence) if presence.node.to_string() == node && !presence.fresh => {
                    said.push("silent");
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    said
}

/// A node is cut off, changes many times, and is joined again. The error says what it has lost.
fn cut_off(by: &[&str], program: Option<PathBuf>) -> Result<(), String> {
    let network = Network::up("cut");
    let settings =
        Settings { address: Some(Network::gateway()), stale_after: "5s".to_owned(), ..Settings::default() };
    let mut collector = Collector::start(&settings);
    let machine = Machine::new("stg-1");
    let inside = [script("netns.sh").into_os_string(), "exec".into(), network.name().into()];
    let by = inside.into_iter().chain(by.iter().map(Into::into)).collect();
    let mut agent = Agent::start(&collector, Node { by, program, ..machine.node("staging") });
    agent.wait_acknowledged();
    let pending = agent.state_dir().join("pending.json");
    let is_kept = |said: &str| fs::read_to_string(&pending).is_ok_and(|kept| kept.contains(said));
    let tried = |agent: &mut Agent| agent.process().logged("Report not delivered.").len();

    network.cut();
    let mut sizes = Vec::new();
    for change in 0..CHANGES {
        let value = (20_000 + change).to_string();
        let said = format!("\"{PATH}\": \"{value}\"");
        let known = tried(&mut agent);
        machine.sysctl("net.core.somaxconn", &value);
        // One try may have begun before; behind two of them it was seen, and is kept or forgotten.
        let is_kept = wait::until(|| match (is_kept(&said), tried(&mut agent) - known) {
            (true, _) => Ok(true),
            (false, 2..) => Ok(false),
            (false, times) => Err(format!("{said} is not kept, and was tried {times} times")),
        });
        if !is_kept {
            return Err(format!("{said} was not acknowledged, and is forgotten"));
        }
        sizes.push(size(&agent.state_dir()));
    }
    let last = (20_000 + CHANGES - 1).to_string();
    let known = tried(&mut agent);
    wait::until(|| if tried(&mut agent) > known { Ok(()) } else { Err("it is not tried".to_owned()) });
    // One state is kept, however many there were.
    assert!(sizes.iter().all(|size| size.abs_diff(sizes[0]) < 1024), "it grows: {sizes:?}");

    collector.process().wait_for("Node is stale.", |_| true);
    let report = collector.cli().report(&["--all"]);
    assert_eq!(report.findings, [], "who is not heard is no drift");
    agent.process().kill();
    network.again();
    agent.run();
    wait::until(|| match collector.cli().fact("stg-1", PATH) {
        Some(held) if held == last => Ok(()),
        held => Err(format!("stg-1 has {held:?}")),
    });
    collector.kill();
    assert_eq!(said_of(&collector, agent.id()), ["commit", "silent", "commit"]);
    Ok(())
}

/// Promise P8: a node whose network is gone keeps its newest state, also over a `kill -9` of its agent, and no more than
/// that; the journal says that it was silent; and when the network is back what it was last is delivered.
#[test]
fn a_node_that_is_cut_off_keeps_its_newest_state() {
    if let Some(why) = impossible() {
        return skipped("durability (cut off)", why);
    }
    assert_eq!(cut_off(&[], None), Ok(()));
}

/// Its control: an agent that forgets what it has sent, though nobody has acknowledged it, is noticed.
#[test]
fn an_agent_that_forgets_too_early_is_noticed() {
    if let Some(why) = impossible() {
        return skipped("durability (cut off)", why);
    }
    let by = ["env", "EVENKEEL_SEEDED_BUG=ForgottenBeforeAck"];
    let why = cut_off(&by, Some(programs::broken_agent())).expect_err("it was not noticed");
    assert!(why.ends_with("is forgotten"), "{why}");
}
