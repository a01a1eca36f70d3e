//! What the agent takes while nothing happens: as long as `EVENKEEL_BENCH_IDLE` says, in seconds.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_tests::harness::{Agent, Collector, Node};
use evenkeel_tests::load::process::{Memory, Process};

use crate::agent::{float, shipped};
use crate::say;
use crate::table::{Budget, Table, Unit};

/// For how long, in seconds, if nobody says otherwise.
const SECONDS: u64 = 600;
const HOW_LONG: &str = "EVENKEEL_BENCH_IDLE";
/// After a start, until everything that begins has begun.
const BEGINNING: Duration = Duration::from_secs(5);

pub(crate) fn run(table: &mut Table) {
    let seconds = env::var(HOW_LONG).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(SECONDS);
    let collector = Collector::default();
    let program = shipped();
    let name = if program.is_some() { "as it is shipped" } else { "release build" };
    let node = Node { name: "idle".to_owned(), environment: "dev".to_owned(), program, ..Node::default() };
    let mut agent = Agent::enrol(&collector, node);
    agent.run_every("1m");
    agent.wait_acknowledged();
    let process = agent.process().id();
    thread::sleep(BEGINNING);
    let before = Taken::of(process).expect("the agent runs");
    say(&format!("idle: {seconds} s with nothing to do ({HOW_LONG} for another time)"));
    // What it takes over a time is what is measured: here a time is waited for.
    thread::sleep(Duration::from_secs(seconds));
    let taken = Taken::of(process).expect("the agent runs").since(&before);
    let what = |figure: &str| format!("agent: idle for {} s, {name}, {figure}", taken.after.as_secs());
    let share = taken.cpu.as_secs_f64() / taken.after.as_secs_f64();
    table.row(&what("share of one processor"), Unit::Percent, Budget::AtMost(0.0002), share);
    table.row(&what("processor time"), Unit::Time, Budget::Nothing, taken.cpu.as_secs_f64());
    let a_minute = float(taken.wakes) * 60.0 / taken.after.as_secs_f64();
    table.row(&what("wake-ups a minute"), Unit::Count, Budget::Nothing, a_minute);
    let Memory { rss, pss, .. } = Process(process).memory().expect("the agent runs");
    let peers = peers(table);
    for (figure, budget, own, of) in [
        ("RSS", 6e6, rss, (|memory: &Memory| memory.rss) as fn(&Memory) -> u64),
        ("PSS", 4e6, pss, |memory| memory.pss),
    ] {
        table.row(&what(figure), Unit::Bytes, Budget::AtMost(budget), float(own));
        for (peer, memory) in &peers {
            let what = format!("agent: the same {figure} beside {peer}");
            table.beside(&what, Unit::Bytes, Budget::OfPeer(1.0), float(own), (peer, float(of(memory))));
        }
    }
}

/// What a process has taken so far.
struct Taken {
    at: Instant,
    after: Duration,
    cpu: Duration,
    /// How often one of its threads waited and was woken.
    wakes: u64,
}

impl Taken {
    fn of(process: u32) -> io::Result<Self> {
        let directory = PathBuf::from(format!("/proc/{process}"));
        let (mut cpu, mut wakes) = (0, 0);
        // To the nanosecond, but of threads that are there.
        for task in fs::read_dir(directory.join("task"))? {
            let task = task?.path();
            let first =
                |text: String| text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            cpu += fs::read_to_string(task.join("schedstat")).ok().and_then(first).unwrap_or(0);
            wakes += waits(&task).unwrap_or(0);
        }
        let ticks = Process(process).cpu().map_err(io::Error::other)?;
        let cpu = Duration::from_nanos(cpu).max(ticks);
        Ok(Self { at: Instant::now(), after: Duration::ZERO, cpu, wakes })
    }

    fn since(self, before: &Self) -> Self {
        Self {
            at: self.at,
            after: self.at - before.at,
            cpu: self.cpu.saturating_sub(before.cpu),
            wakes: self.wakes.saturating_sub(before.wakes),
        }
    }
}

/// `voluntary_ctxt_switches` of proc_pid_status(5).
fn waits(task: &Path) -> Option<u64> {
    let status = fs::read_to_string(task.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// What others hold after their start, that nobody asks for anything.
fn peers(table: &mut Table) -> Vec<(&'static str, Memory)> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let config = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    };
    let at = directory.path().display();
    let zabbix = config(
        "zabbix.conf",
        &format!(
            "LogType=console\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort=20050\nHostname=bench\nPidFile={at}/zabbix.pid\nPluginSocket={at}/zabbix.sock\nControlSocket={at}/control.sock\n"
        ),
    );
    let collectd = config(
        "collectd.conf",
        &format!(
            "BaseDir \"{at}\"\nPIDFile \"{at}/collectd.pid\"\nInterval 60\nLoadPlugin cpu\nLoadPlugin memory\nLoadPlugin load\nLoadPlugin interface\nLoadPlugin processes\n"
        ),
    );
    let all: [(&str, &str, &[&str]); 3] = [
        ("node_exporter", "prometheus-node-exporter", &["--web.listen-address=127.0.0.1:0"]),
        ("zabbix_agent2", "zabbix_agent2", &["-f", "-c", &zabbix]),
        ("collectd", "collectd", &["-f", "-C", &collectd]),
    ];
    let mut peers = Vec::new();
    for (name, program, arguments) in all {
        match holds(program, arguments) {
            Some(memory) => peers.push((name, memory)),
            None => table.note(&format!("{name} is not installed, or does not start: not compared")),
        }
    }
    peers
}

fn holds(program: &str, arguments: &[&str]) -> Option<Memory> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child = command.spawn().ok()?;
    thread::sleep(BEGINNING);
    let runs = matches!(child.try_wait(), Ok(None));
    let memory = Process(child.id()).memory().ok().filter(|_| runs);
    let _ = child.kill();
    let _ = child.wait();
    memory
}
