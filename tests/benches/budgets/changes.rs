//! From a change on the machine until the collector has it durably.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_tests::harness::cli::script;
use evenkeel_tests::harness::hosts::{Host, Network, inside};
use evenkeel_tests::harness::skip::{cache, is_root};
use evenkeel_tests::harness::{Agent, Collector, Machine, Node, Settings};

use crate::clock::{median, percentile};
use crate::command::took;
use crate::table::{Budget, Table, Unit};

/// Changes of kernel parameters.
const MANY: usize = 1_000;
/// Changes of everything else.
const SOME: usize = 100;
/// Upgrades by dpkg: each takes a second or two.
const UPGRADES: usize = 30;
/// So long after the first commit of an upgrade a second one would have come.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// As a rule nothing happens: so long, about, between two changes.
const PAUSE: Duration = Duration::from_millis(20);
/// Interfaces of a busy Kubernetes node, two of each pair here.
const PAIRS: usize = 100;
const THP: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

pub(crate) fn run(table: &mut Table) {
    files(table);
    if is_root() {
        kernel(table);
    } else {
        table.note(
            "changes of kernel parameters were not measured: a network namespace of their own needs root",
        );
    }
}

/// On the real kernel: the agent is nobody, in a network namespace of its own.
fn kernel(table: &mut Table) {
    let network = Network::up("bench");
    let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
    let collector = Collector::start(&settings);
    let words = ["exec", network.name(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let by = [script("netns.sh").into()].into_iter().chain(words.map(Into::into)).collect();
    let node = Node { name: "bench".to_owned(), environment: "dev".to_owned(), by, ..Node::default() };
    let mut watched = Watched::start(&collector, node);
    let mut shell = Shell::inside(&network);
    let took = watched.each(MANY, |at| shell.run(&format!("sysctl -q -w net.core.somaxconn={}", 4097 + at)));
    rows(table, "sysctl -w, as nobody", &took);
    if let Ok(text) = fs::read_to_string(THP) {
        let before = text.split(['[', ']']).nth(1).unwrap_or("never").to_owned();
        let other = if before == "advise" { "never" } else { "advise" };
        let took = watched.each(SOME, |at| {
            shell.run(&format!("echo {} > {THP}", if at % 2 == 0 { other } else { &before }));
        });
        let _ = fs::write(THP, before);
        rows(table, "transparent huge pages", &took);
    }
    drop(watched);
    interfaces(table, &network);
    packages(table);
}

/// Upgrades of one package by the real dpkg, in the root of another Debian release: from the end of dpkg until the collector
/// has the new version, and in how many commits.
fn packages(table: &mut Table) {
    let root = cache().join("root-trixie");
    if root.join("etc/os-release").symlink_metadata().is_err() {
        table.note("upgrades of packages were not measured: there is no root in tests/.cache (make test-hosts makes it)");
        return;
    }
    let debs = tempfile::tempdir().expect("a directory can be made");
    for version in 0..UPGRADES {
        deb(debs.path(), version);
    }
    let mut host = Host::new("upgrade", &root);
    host.install(debs.path(), "/run/debs");
    let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
    let collector = Collector::start(&settings);
    let mut watched = Watched::start(&collector, host.node("dev", ""));
    let (mut took, mut commits) = (Vec::new(), 0);
    for version in 0..UPGRADES {
        let known = watched.agent.acknowledged().len();
        inside(&mut watched.agent, &["dpkg", "--install", &format!("/run/debs/{version}.deb")]);
        let ended = Instant::now();
        watched.agent.wait_acknowledged_beyond(known);
        took.push(ended.elapsed().as_secs_f64());
        thread::sleep(AFTERWARDS);
        commits += watched.agent.acknowledged().len() - known;
    }
    rows(table, "dpkg upgrades a package, from its end", &took);
    #[expect(clippy::cast_precision_loss, reason = "there are not so many commits")]
    let each = commits as f64 / UPGRADES as f64;
    table.row("change to durable ack: commits of one upgrade", Unit::Count, Budget::AtMost(1.0), each);
}

/// A package without files, of this version.
fn deb(directory: &Path, version: usize) {
    let tree = tempfile::tempdir().expect("a directory can be made");
    let control = format!(
        "Package: evenkeel-bench\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a bench\n"
    );
    fs::create_dir(tree.path().join("DEBIAN")).expect("the directory is ours");
    fs::write(tree.path().join("DEBIAN/control"), control).expect("the directory is ours");
    let target = directory.join(format!("{version}.deb"));
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--build", "--root-owner-group"]).arg(tree.path()).arg(target).stdout(Stdio::null());
    assert!(dpkg.status().is_ok_and(|status| status.success()), "dpkg-deb builds a package");
}

/// With as many interfaces as a Kubernetes node has.
fn interfaces(table: &mut Table, network: &Network) {
    let mut shell = Shell::inside(network);
    for pair in 0..PAIRS {
        shell.run(&format!("ip link add v{pair}a type veth peer name v{pair}b"));
    }
    let agent = evenkeel_tests::harness::programs::path("evenkeel-agent").display().to_string();
    let tool = script("netns.sh").display().to_string();
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        own.extend(took(&[&tool, "exec", network.name(), &agent, "collect"]).map(|took| took.cpu));
        peer.extend(took(&[&tool, "exec", network.name(), "sysctl", "-a"]).map(|took| took.cpu));
    }
    if !peer.is_empty() {
        let what = format!("agent: everything, with {} interfaces, beside every parameter", 2 * PAIRS);
        table.beside(&what, Unit::Time, Budget::OfPeer(0.25), median(own), ("sysctl -a", median(peer)));
    }
}

/// Files on a disk, of a machine in a directory.
fn files(table: &mut Table) {
    let collector = Collector::default();
    let machine = Machine::new("bench");
    let mut watched = Watched::start(&collector, machine.node("dev"));
    let took = watched.each(SOME, |at| {
        machine.write("etc/sysctl.d/60-bench.conf", &format!("net.core.somaxconn = {}\n", 5000 + at));
    });
    rows(table, "an edited file in sysctl.d", &took);
    let took = watched.each(SOME, |at| machine.program("pay", &format!("1.21.{at}"), &[]));
    rows(table, "a replaced Go program", &took);
    let status = "var/lib/dpkg/status";
    let packages = fs::read_to_string(machine.root().join(status)).unwrap_or_default();
    let took = watched.each(SOME, |at| {
        let new =
            format!("Package: bench\nStatus: install ok installed\nArchitecture: all\nVersion: {at}\n\n");
        machine.write(status, &(new + &packages));
    });
    rows(table, "a replaced package database", &took);
}

fn rows(table: &mut Table, change: &str, took: &[f64]) {
    let what = |figure: &str| format!("change to durable ack: {change}, {figure} of {}", took.len());
    table.row(&what("median"), Unit::Time, Budget::AtMost(0.020), median(took.to_vec()));
    table.row(&what("p99"), Unit::Time, Budget::AtMost(0.100), percentile(took.to_vec(), 0.99));
}

/// An agent that would sweep again after an hour, and its log.
struct Watched {
    agent: Agent,
    log: BufReader<fs::File>,
}

impl Watched {
    fn start(collector: &Collector, node: Node) -> Self {
        let mut agent = Agent::enrol(collector, node);
        agent.run_every("1h");
        agent.wait_acknowledged();
        let log = BufReader::new(fs::File::open(agent.log()).expect("it logs"));
        let mut watched = Self { agent, log };
        // What it looks at again right after its start is no change.
        while watched.has_acknowledged(Duration::from_secs(1)) {}
        watched
    }

    /// Makes so many changes, one after the other; what each took until it was acknowledged, in seconds.
    fn each(&mut self, times: usize, mut change: impl FnMut(usize)) -> Vec<f64> {
        let took = |at| {
            thread::sleep(PAUSE);
            let began = Instant::now();
            change(at);
            assert!(self.has_acknowledged(Duration::from_secs(30)), "change {at} is not seen");
            began.elapsed().as_secs_f64()
        };
        (0..times).map(took).collect()
    }

    /// Reads its log until it says so, or the time is over.
    fn has_acknowledged(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut line = String::new();
        while Instant::now() < deadline {
            match self.log.read_line(&mut line) {
                Ok(read) if read > 0 && line.ends_with('\n') => {
                    if std::mem::take(&mut line).contains("\"State acknowledged.\"") {
                        return true;
                    }
                }
                _ => thread::sleep(Duration::from_micros(200)),
            }
        }
        false
    }
}

/// A shell in a network namespace: what it is told to run starts at once.
struct Shell {
    child: Child,
}

impl Shell {
    fn inside(network: &Network) -> Self {
        let mut command = Command::new(script("netns.sh"));
        command.args(["exec", network.name(), "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { child: command.spawn().expect("there is a shell") }
    }

    /// Returns when the command has ended.
    fn run(&mut self, command: &str) {
        let mut talk = || -> io::Result<()> {
            let input = self.child.stdin.as_mut().expect("it is piped");
            writeln!(input, "{command}; echo")?;
            input.flush()?;
            self.child.stdout.as_mut().expect("it is piped").read_exact(&mut [0])
        };
        talk().expect("the shell does what it is told");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
