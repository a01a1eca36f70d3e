//! The agent against its peers, side by side.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use evenkeel_sources::{Host, SOURCES, SourcesConfig, collect_all};
use evenkeel_tests::harness::{Agent, Collector, Node, programs};
use evenkeel_tests::load::process::{Memory, Process};

use crate::clock::{cpu, median, median_cpu};
use crate::command::{Took, took};
use crate::table::{Budget, Table, Unit};

/// How long the agent is watched while it sweeps once a second.
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn run(table: &mut Table) {
    once(table);
    sysctls(table);
    packages(table);
    busy(table);
}

/// One collection of everything, as a program.
fn once(table: &mut Table) {
    let agent = programs::path("evenkeel-agent").display().to_string();
    let peers: [(&[&str], usize, f64); 2] =
        [(&["facter", "--json"], 5, 1.0 / 60.0), (&["ansible", "-m", "setup", "localhost"], 3, 1.0 / 290.0)];
    let mut own = Vec::new();
    let mut beside = Vec::new();
    for (program, times, budget) in peers {
        let mut others = Vec::new();
        for _ in 0..times {
            own.extend(took(&[&agent, "collect"]));
            others.extend(took(program));
        }
        beside.push((program[0], others, budget));
    }
    let (cpu, peak) = medians(&own).expect("the agent was built");
    table.note("facter and ansible run as they are installed here; what they cannot read on this machine costs them nothing.");
    table.row("agent: one collection of everything, CPU", Unit::Time, Budget::AtMost(0.025), cpu);
    table.row("agent: one collection of everything, peak memory", Unit::Bytes, Budget::AtMost(8e6), peak);
    for (name, others, budget) in beside {
        match medians(&others) {
            Some((other, _)) => {
                let what = format!("agent: the same beside {name}");
                table.beside(&what, Unit::Time, Budget::OfPeer(budget), cpu, (name, other));
            }
            None => {
                table.note(&format!("{name} is not installed: not compared (Debian: facter, ansible-core)"));
            }
        }
    }
}

/// Every kernel parameter, first as a program against another, then again in a process that goes on.
fn sysctls(table: &mut Table) {
    let agent = programs::path("evenkeel-agent").display().to_string();
    let others: Vec<_> =
        SOURCES.iter().map(|source| source.name()).filter(|name| *name != "sysctl").collect();
    let config = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(config.path(), format!("[sources]\ndisable = {others:?}\n")).expect("it can be written");
    let config_path = config.path().display().to_string();
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        own.extend(took(&[&agent, "collect", "--config", &config_path]));
        peer.extend(took(&["sysctl", "-a"]));
    }
    if let (Some((own, _)), Some((peer, _))) = (medians(&own), medians(&peer)) {
        let what = "agent: all sysctls, first time, as a program";
        table.beside(what, Unit::Time, Budget::OfPeer(0.30), own, ("sysctl -a", peer));
    }
    let only = SourcesConfig {
        disable: others.iter().map(|name| (*name).to_owned()).collect(),
        ..SourcesConfig::default()
    };
    let host = Host::live().tracking().keeping();
    let again = median_cpu(21, || collect_all(&host, &only));
    table.row("agent: all sysctls, again", Unit::Time, Budget::AtMost(0.003), again);
    let sweep = median_cpu(11, || collect_all(&host, &SourcesConfig::default()));
    table.row("agent: a full sweep, again", Unit::Time, Budget::AtMost(0.004), sweep);
}

/// The package database, beside its own tool.
fn packages(table: &mut Table) {
    let only = SourcesConfig {
        disable: SOURCES
            .iter()
            .map(|source| source.name().to_owned())
            .filter(|name| name != "packages")
            .collect(),
        ..SourcesConfig::default()
    };
    let (mut own, mut peer, mut found) = (Vec::new(), Vec::new(), 0);
    for _ in 0..21 {
        let host = Host::live();
        let (cpu, sections) = cpu(|| collect_all(&host, &only));
        own.push(cpu);
        found = sections.iter().map(|section| section.facts().len()).sum();
        peer.extend(took(&["dpkg-query", "-W"]).map(|took| took.cpu));
    }
    if peer.is_empty() {
        table.note("there is no dpkg here: its database was not compared");
        return;
    }
    let what = format!("agent: the dpkg database, {found} facts");
    table.beside(&what, Unit::Time, Budget::OfPeer(1.0 / 20.0), median(own), ("dpkg-query -W", median(peer)));
}

/// The daemon, reporting to a collector once a second: what each time takes.
fn busy(table: &mut Table) {
    let collector = Collector::default();
    let shipped = shipped();
    let node =
        Node { name: "bench".to_owned(), environment: "dev".to_owned(), program: shipped, ..Node::default() };
    let mut agent = Agent::start(&collector, node);
    agent.wait_acknowledged();
    let process = Process(agent.process().id());
    let before = process.cpu().expect("the agent runs");
    // What is measured is what it takes over a time: this is the one place that waits for a time.
    thread::sleep(WATCHED);
    let cpu = process.cpu().expect("the agent runs").saturating_sub(before).as_secs_f64();
    let each = cpu / WATCHED.as_secs_f64();
    let what = "agent: sweep and check-in of the daemon (0.02 % at one a minute)";
    table.row(what, Unit::Time, Budget::AtMost(0.012), each);
    memory(table, process);
}

/// What it holds then, beside node_exporter.
fn memory(table: &mut Table, process: Process) {
    if shipped().is_none() {
        table.note("memory is that of the release build: what is shipped was not built (deploy/dist.sh)");
    }
    let Memory { rss, pss, .. } = process.memory().expect("the agent runs");
    let peer = node_exporter();
    if peer.is_none() {
        table.note("node_exporter is not installed: not compared (Debian: prometheus-node-exporter)");
    }
    for (what, budget, own, peer) in [
        ("agent: resident, RSS", 6e6, rss, peer.map(|peer| peer.rss)),
        ("agent: resident, PSS", 4e6, pss, peer.map(|peer| peer.pss)),
    ] {
        let budget = Budget::AtMost(budget);
        match peer {
            Some(peer) => table.beside(what, Unit::Bytes, budget, float(own), ("node_exporter", float(peer))),
            None => table.row(what, Unit::Bytes, budget, float(own)),
        }
    }
}

/// The program as it is shipped for images, or that of the `dist` profile beside that of this run: what was built.
pub(crate) fn shipped() -> Option<PathBuf> {
    let own = programs::path("evenkeel-agent");
    let target = own.ancestors().nth(2)?;
    let built = ["shipped/evenkeel-agent-static", "dist/evenkeel-agent"].map(|program| target.join(program));
    built.into_iter().find(|program| program.is_file())
}

/// What node_exporter holds after its start, not yet asked for anything.
fn node_exporter() -> Option<Memory> {
    let mut child: Child = Command::new("prometheus-node-exporter")
        .arg("--web.listen-address=127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    thread::sleep(Duration::from_secs(2));
    let memory = Process(child.id()).memory().ok();
    let _ = child.kill();
    let _ = child.wait();
    memory
}

fn medians(runs: &[Took]) -> Option<(f64, f64)> {
    let of = |pick: fn(&Took) -> f64| median(runs.iter().map(pick).collect());
    (!runs.is_empty()).then(|| (of(|took| took.cpu), of(|took| took.peak)))
}

#[expect(clippy::cast_precision_loss, reason = "bytes are rounded when they are shown")]
pub(crate) fn float(bytes: u64) -> f64 {
    bytes as f64
}
