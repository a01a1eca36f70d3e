//! What a collector needs runs out, or it is held up: the disk is full or slow, no memory is left, it is stopped. It may
//! refuse; it never says what is not so, and it goes on when it can.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, FactPath};
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::flood::Flood;
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Disk, Machine, Settings, journal, programs, wait};
use evenkeel_tests::load::enrol::{Member, enrol};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::node::Connection;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::PATH;

const NODES: usize = 8;
/// Between two tries of a node that is refused: an agent waits longer.
const PAUSE: Duration = Duration::from_millis(50);

/// Nodes that report another state each time, and try again when they are refused, until they are told to end.
struct Writers {
    runtime: Runtime,
    acknowledged: Arc<Mutex<Vec<Digest>>>,
    refused: Arc<Mutex<usize>>,
    end: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    fn start(collector: &mut Collector) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let target = Target::new(collector);
        let fleet = Fleet::new(Template::of_this_machine(), NODES);
        let (members, _) = runtime.block_on(enrol(&target, fleet.nodes)).expect("every node enrols");
        let (acknowledged, refused, end) = (Arc::default(), Arc::default(), Arc::default());
        let mut writers = Self { runtime, acknowledged, refused, end, tasks: JoinSet::new() };
        for member in members {
            let (target, end) = (target.clone(), Arc::clone(&writers.end));
            let (acknowledged, refused) = (Arc::clone(&writers.acknowledged), Arc::clone(&writers.refused));
            let write = write(target, member, acknowledged, refused, end);
            writers.tasks.spawn_on(write, writers.runtime.handle());
        }
        writers
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more states are acknowledged.
    fn wait_acknowledged(&self, more: usize) {
        let known = self.acknowledged();
        wait::until(|| match self.acknowledged() - known {
            count if count >= more => Ok(()),
            count => Err(format!("{count} more are acknowledged")),
        });
    }

    /// Ends them. Everything that was acknowledged.
    fn end(self) -> BTreeSet<Digest> {
        let Self { runtime, acknowledged, end, mut tasks, .. } = self;
        end.store(true, Ordering::Relaxed);
        runtime.block_on(async { while tasks.join_next().await.is_some() {} });
        let acknowledged = acknowledged.lock().unwrap();
        acknowledged.iter().copied().collect()
    }
}

async fn write(
    target: Target,
    mut member: Member,
    acknowledged: Arc<Mutex<Vec<Digest>>>,
    refused: Arc<Mutex<usize>>,
    end: Arc<AtomicBool>,
) {
    let path = FactPath::known(PATH);
    let mut connection = Connection::new(&target.fleet, &member).expect("the certificate is good");
    while !end.load(Ordering::Relaxed) {
        let node = &mut member.node;
        let value = format!("{} {}", node.name, node.sequence);
        node.change("sysctl.net", &path, &value);
        // As an agent does: the same state at the same place, until it is acknowledged.
        while connection.report(node).await.is_err() {
            *refused.lock().unwrap() += 1;
            if end.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        acknowledged.lock().unwrap().push(node.root());
    }
}

/// How many of these are not in the journal of a collector that has ended.
fn lost(collector: &Collector, acknowledged: &BTreeSet<Digest>) -> usize {
    let stored: BTreeSet<_> =
        journal::commits(&collector.data_dir()).into_iter().map(|(_, root)| root).collect();
    assert!(!acknowledged.is_empty());
    acknowledged.difference(&stored).count()
}

fn ready(collector: &Collector, expected: &str) -> String {
    wait::until(|| match collector.get("/readyz") {
        answer if answer.starts_with(&format!("HTTP/1.1 {expected}")) => Ok(answer),
        answer => Err(answer),
    })
}

/// The disk fills up under load and is emptied again. The error says how many acknowledged commits were lost.
fn fill_up(settings: Settings) -> Result<(), usize> {
    let disk = Disk::new(64);
    let settings = Settings { place: Some(disk.path()), ..settings };
    let mut collector = Collector::start(&settings);
    let writers = Writers::start(&mut collector);
    writers.wait_acknowledged(NODES);
    let ballast = disk.fill_up();

    let answer = ready(&collector, "503");
    assert!(answer.contains("disk is full"), "{answer}");
    // Who asks is answered, and Prometheus hears of it.
    assert_eq!(collector.cli().nodes().nodes.len(), NODES);
    assert!(collector.cli().ok(&["report"]).contains("4 environments"));
    wait::until(|| match collector.metric("evenkeel_journal_failures_total") {
        0 => Err("no failure is counted".to_owned()),
        _ => Ok(()),
    });
    // What broken ones acknowledge meanwhile.
    let known = writers.acknowledged();
    wait::until(|| {
        let is_refused = *writers.refused.lock().unwrap() >= 2 * NODES;
        let is_broken = writers.acknowledged() >= known + 2 * NODES;
        if is_refused || is_broken { Ok(()) } else { Err("nobody is answered".to_owned()) }
    });

    ballast.drop_it();
    ready(&collector, "200");
    writers.wait_acknowledged(2 * NODES);
    let acknowledged = writers.end();
    collector.process().stop();
    let check = Command::new(programs::path("evenkeel-collector"))
        .arg("check")
        .arg("--data-dir")
        .arg(collector.data_dir())
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    match lost(&collector, &acknowledged) {
        0 => Ok(()),
        lost => Err(lost),
    }
}

/// Promise P5: a full disk acknowledges nothing that is not stored, is said by `/readyz` and the metrics, keeps nobody from
/// asking, and is over when there is room again: without a restart, and nothing is damaged.
#[test]
fn a_full_disk_loses_nothing_and_is_over_when_there_is_room() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability (full disk)", why);
    }
    assert_eq!(fill_up(Settings::default()), Ok(()));
}

/// Its control: a collector that acknowledges what it could not write is noticed.
#[test]
fn a_failed_write_that_is_acknowledged_is_noticed() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability (full disk)", why);
    }
    let lost = fill_up(Settings::broken("FailedWriteAcked"));
    assert!(lost.is_err(), "it was not noticed");
}

/// Promise P9: on a disk that takes twenty writes a second the collector is slow and nothing else: people are answered,
/// reports are acknowledged when they are stored, also when it is killed then.
#[test]
fn a_slow_disk_makes_it_slow_and_nothing_else() {
    if let Some(why) = Disk::impossible() {
        return skipped("durability (slow disk)", why);
    }
    let disk = Disk::new(128);
    let mut collector = Collector::start(&Settings { place: Some(disk.path()), ..Settings::default() });
    let writers = Writers::start(&mut collector);
    writers.wait_acknowledged(NODES);
    if !disk.slow(20) {
        return skipped("durability (slow disk)", "no block device can be slowed down here");
    }
    writers.wait_acknowledged(2 * NODES);
    assert_eq!(collector.cli().nodes().nodes.len(), NODES);
    ready(&collector, "200");
    collector.kill();
    disk.slow(0);
    let acknowledged = writers.end();
    assert_eq!(lost(&collector, &acknowledged), 0);
    collector.restart();
    assert_eq!(collector.cli().nodes().nodes.len(), NODES);
}

/// Promise P9: a collector that gets no more memory while more connections come than ever may refuse, and may end. What it
/// had acknowledged is there when it starts again.
#[test]
fn a_collector_without_memory_loses_nothing() {
    const CONNECTIONS: usize = 1_000;
    if !has_command("prlimit") {
        return skipped("durability (memory)", "prlimit is not installed");
    }
    let mut collector = Collector::default();
    let writers = Writers::start(&mut collector);
    writers.wait_acknowledged(NODES);
    let id = collector.process().id().to_string();
    // Less than it has: the next block that it asks the system for is refused.
    run(Command::new("prlimit").args(["--pid", &id, "--as=1048576"])).ok();
    let flood = Flood::new(collector.ports().fleet, CONNECTIONS);
    wait::until(|| match (flood.opened(), collector.process().has_ended()) {
        (CONNECTIONS.., _) | (_, true) => Ok(()),
        (opened, false) => Err(format!("{opened} connections are open")),
    });
    drop(flood);
    collector.kill();
    let acknowledged = writers.end();
    assert_eq!(lost(&collector, &acknowledged), 0);
    collector.restart();
    assert_eq!(collector.cli().nodes().nodes.len(), NODES);
    ready(&collector, "200");
}

/// Promise P9: a collector that was stopped for longer than a node may be silent calls nobody stale for it, and goes on; an
/// agent that is stopped is stale, is named, is no drift, and is compared again when it goes on.
#[test]
fn who_is_stopped_goes_on() {
    assert_eq!(stop(Settings::default()), Ok(()));
}

/// Its control: a collector that takes its own stop for others' silence is noticed.
#[test]
fn a_stop_that_is_taken_for_silence_is_noticed() {
    let why = stop(Settings::broken("StopUnnoticed")).expect_err("it was not noticed");
    assert_eq!(why, "the collector was stopped, and calls others silent");
}

/// The collector is stopped, and goes on; then an agent.
fn stop(settings: Settings) -> Result<(), String> {
    const STALE: Duration = Duration::from_secs(8);
    let stale_after = format!("{}s", STALE.as_secs());
    let mut collector = Collector::start(&Settings { stale_after, ..settings });
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].sysctl("net.core.somaxconn", "128");
    let mut agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    collector.process().signal(Signal::SIGSTOP);
    // The fault itself lasts so long; nothing is waited for.
    let began = Instant::now();
    while began.elapsed() < STALE + STALE / 2 {
        std::thread::sleep(PAUSE);
    }
    // Before anybody is heard again: what it makes of the time itself.
    for agent in &mut agents {
        agent.process().signal(Signal::SIGSTOP);
    }
    collector.process().signal(Signal::SIGCONT);
    let is_noticed = wait::until(|| {
        let stale = collector.process().logged("Node is stale.");
        let noticed =
            collector.process().logged("The collector was stopped; nobody is called silent for it.");
        match (stale.is_empty(), noticed.is_empty()) {
            (false, _) => Ok(false),
            (true, false) => Ok(true),
            (true, true) => Err("it says nothing of it".to_owned()),
        }
    });
    for agent in &mut agents {
        agent.process().signal(Signal::SIGCONT);
    }
    if !is_noticed {
        return Err("the collector was stopped, and calls others silent".to_owned());
    }
    machines[0].sysctl("net.core.somaxconn", "256");
    wait::until(|| match collector.cli().fact("stg-1", PATH) {
        Some(held) if held == "256" => Ok(()),
        held => Err(format!("stg-1 has {held:?}")),
    });
    assert_eq!(collector.process().logged("Node is stale."), Vec::<serde_json::Value>::new());

    agents[0].process().signal(Signal::SIGSTOP);
    let stale = collector.process().wait_for("Node is stale.", |_| true);
    assert_eq!(stale["name"], "stg-1");
    let report = collector.cli().report(&["--all"]);
    assert_eq!(report.findings, [], "a node that is not heard is no drift");
    agents[0].process().signal(Signal::SIGCONT);
    wait::until(|| match collector.cli().report(&[]).findings.as_slice() {
        [finding] if finding.path == PATH => Ok(()),
        findings => Err(format!("{findings:#?}")),
    });
    Ok(())
}
