//! Changes are seen when they are made, and not at the next sweep: every agent here would sweep again after an hour.

mod authors;
mod namespaces;
mod packages;
mod starts;

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use evenkeel_tests::harness::{Agent, Collector, Machine, Node, wait};
use nix::sys::signal::Signal;

/// The sweep that would find what events miss is far away.
const HOUR: &str = "1h";

fn start(collector: &Collector, node: Node) -> Agent {
    let mut agent = Agent::enrol(collector, node);
    agent.run_every(HOUR);
    agent.wait_acknowledged();
    agent
}

/// Waits until the collector knows this of the node.
fn wait_known(collector: &Collector, node: &str, path: &str, value: &str) {
    let cli = collector.cli();
    wait::until(|| {
        let changes = cli.history(node, path).changes;
        match changes.first() {
            Some(change) if change.after.value == value => Ok(()),
            newest => Err(format!("{path}: {newest:?}")),
        }
    });
}

/// Promise: whatever a source reads is watched, also what was not there before and what a link leads to, without a
/// source's saying so.
#[test]
fn whatever_is_read_is_watched() {
    let collector = Collector::default();
    let machine = Machine::new("stg-1");
    let mut agent = start(&collector, machine.node("staging"));
    let seen = |path: &str, value: &str| wait_known(&collector, "stg-1", path, value);

    machine.sysctl("net.core.somaxconn", "65535");
    seen("sysctl.net.core.somaxconn", "65535");
    machine.glibc("2.31");
    seen("glibc.version", "2.31");
    machine.tzdata("2019a");
    seen("tzdata.version", "2019a");
    machine.program("pay", "1.20.3", &[]);
    seen("go.program[example.org/pay].go_version", "1.20.3");
    // A directory that was not there, and then a file in it.
    machine.write("opt/ledger/README", "");
    machine.program_at("opt/ledger/ledger", "ledger", "1.22.0", &[]);
    seen("go.program[example.org/ledger].go_version", "1.22.0");
    // What a link leads to.
    let releases = machine.root().join("srv/releases");
    fs::create_dir_all(&releases).unwrap();
    fs::rename(machine.root().join("usr/local/bin/pay"), releases.join("pay")).unwrap();
    std::os::unix::fs::symlink("/srv/releases/pay", machine.root().join("usr/local/bin/pay")).unwrap();
    machine.program_at("srv/releases/pay", "pay", "1.20.4", &[]);
    seen("go.program[example.org/pay].go_version", "1.20.4");
    assert_eq!(
        agent.process().logged("The sweep found what no event had told."),
        Vec::<serde_json::Value>::new()
    );
}

/// Promise: when the kernel could not keep all events, everything is looked at: nothing is lost but the moment.
#[test]
fn lost_events_mean_a_sweep() {
    let collector = Collector::default();
    let machine = Machine::new("stg-1");
    let mut agent = start(&collector, machine.node("staging"));
    let most: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    agent.process().signal(Signal::SIGSTOP);
    // Equal events in a row are one: two files take turns. Nobody looked at them, but their directory is watched.
    let mut files = ["a", "b"].map(|name| {
        let path = machine.root().join("etc").join(name);
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    });
    for _ in 0..=most / 2 {
        for file in &mut files {
            file.write_all(b"x").unwrap();
        }
    }
    machine.sysctl("net.core.somaxconn", "65535");
    agent.process().signal(Signal::SIGCONT);
    wait_known(&collector, "stg-1", "sysctl.net.core.somaxconn", "65535");
    agent.process().wait_for("Events were lost; looking at everything.", |_| true);
}
