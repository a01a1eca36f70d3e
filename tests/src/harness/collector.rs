//! The program `evenkeel-collector`, on ports and an address of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use super::{Cli, Process, programs};

/// What a test wants otherwise.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long until a silent node is stale.
    pub stale_after: String,
    /// The address to listen on; `None`: a loopback address of its own.
    pub address: Option<String>,
    /// The configuration's `[transport]`: its lines.
    pub transport: String,
    /// What the program is started by: words before it, such as `prlimit --nofile=128`.
    pub by: Vec<OsString>,
    /// Further tables of its configuration file.
    pub config: String,
    /// Where its data directory is made, such as a disk of the test's; `None`: beside its configuration.
    pub place: Option<PathBuf>,
    /// The program; `None`: the one that was built.
    pub program: Option<PathBuf>,
}

impl Default for Settings {
    /// No node of a slow machine is stale by accident.
    fn default() -> Self {
        Self {
            stale_after: "1h".to_owned(),
            address: None,
            transport: UNLIMITED.to_owned(),
            by: Vec::new(),
            config: String::new(),
            place: None,
            program: None,
        }
    }
}

impl Settings {
    /// The collector that makes this mistake on purpose: one of `seeded::OF_PROGRAMS`.
    pub fn broken(bug: &str) -> Self {
        Self {
            by: vec!["env".into(), format!("EVENKEEL_SEEDED_BUG={bug}").into()],
            program: Some(programs::broken_collector()),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        let Self { stale_after, transport, config, .. } = self;
        format!("stale_after = {stale_after:?}\n[transport]\n{transport}\n{config}\n")
    }
}

/// Tests change more in a second than a machine does in a day, and enrol all their nodes from one address.
pub const UNLIMITED: &str = "sync_every = \"0s\"\nenroll_every = \"0s\"";

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// Ends before its directory goes.
    process: Option<Process>,
    directory: TempDir,
    ports: Ports,
    by: Vec<OsString>,
    place: Option<PathBuf>,
    program: Option<PathBuf>,
}

/// Where it listens, as it says itself.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Agents and people.
    pub fleet: SocketAddr,
    /// Enrolment.
    pub enroll: SocketAddr,
    /// Health and metrics.
    pub http: SocketAddr,
}

impl Default for Collector {
    fn default() -> Self {
        Self::start(&Settings::default())
    }
}

impl Collector {
    /// Starts one with an empty data directory.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn start(settings: &Settings) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let Settings { address, by, place, program, .. } = settings.clone();
        fs::write(directory.path().join("collector.toml"), settings.text())
            .expect("the configuration can be written");
        let any: SocketAddr =
            format!("{}:0", address.unwrap_or_else(own_address)).parse().expect("it is an address");
        let ports = Ports { fleet: any, enroll: any, http: any };
        let mut collector = Self { process: None, directory, ports, by, place, program };
        collector.run();
        collector
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.place.as_deref().unwrap_or(self.directory.path()).join("data")
    }

    /// A directory that lives as long as it does.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Where people ask from elsewhere.
    pub fn url(&self) -> String {
        format!("https://{}", self.ports.fleet)
    }

    /// Where machines enrol.
    pub fn enroll_url(&self) -> String {
        format!("https://{}", self.ports.enroll)
    }

    /// `evenkeel`, over its local socket.
    pub fn cli(&self) -> Cli {
        Cli::local(&self.data_dir())
    }

    /// A file with a new token for this environment, made with these further arguments.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn token(&self, environment: &str, arguments: &[&str]) -> PathBuf {
        let file = tempfile::NamedTempFile::new_in(self.directory.path()).expect("a file can be made");
        let path = file.into_temp_path().keep().expect("it can be kept");
        let shown = path.display().to_string();
        self.cli()
            .ok(&[&["token", "create", "--env", environment, "--token-file", &shown], arguments].concat());
        path
    }

    /// `evenkeel` as a new user of this role, over the network.
    ///
    /// # Panics
    ///
    /// When the user cannot be made.
    pub fn user(&self, name: &str, role: &str) -> Cli {
        let directory = self.directory.path().display().to_string();
        self.cli().ok(&["user", "create", name, "--role", role, "--directory", &directory]);
        Cli::remote(&self.url(), self.directory.path(), name)
    }

    /// What its HTTP port answers to a GET.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.ports.http).expect("the HTTP port is open");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n\r\n")
            .expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// A metric's value now, by its name and labels as they are written: `evenkeel_connections_total{outcome="silent"}`.
    ///
    /// # Panics
    ///
    /// When there is no such metric.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
    }

    /// How many connections had this outcome so far.
    pub fn connections(&self, outcome: &str) -> u64 {
        self.metric(&format!("evenkeel_connections_total{{outcome=\"{outcome}\"}}"))
    }

    /// How many calls had this outcome so far.
    pub fn requests(&self, outcome: &str) -> u64 {
        self.metric(&format!("evenkeel_requests_total{{outcome=\"{outcome}\"}}"))
    }

    /// The running process.
    ///
    /// # Panics
    ///
    /// When it was ended.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the collector runs")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// Starts it again on the same data and ports, and waits until it is ready.
    pub fn restart(&mut self) {
        self.process = None;
        self.run();
    }

    /// From its next start on it has these further tables in its configuration file.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn reconfigure(&self, config: &str) {
        let settings = Settings { config: config.to_owned(), ..Settings::default() };
        fs::write(self.directory.path().join("collector.toml"), settings.text()).expect("the file is ours");
    }

    /// From its next start on its environments have this order.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn order(&self, environments: &[&str]) {
        let file = self.directory.path().join("collector.toml");
        let text = fs::read_to_string(&file).expect("the file is ours");
        fs::write(&file, format!("environments = {environments:?}\n{text}")).expect("the file is ours");
    }

    /// The command that runs it on these ports.
    pub fn command(&self, ports: Ports) -> Command {
        let program = self.program.clone().unwrap_or_else(|| programs::path("evenkeel-collector"));
        let mut words = self.by.iter().cloned().chain([program.into_os_string()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command.args(words).arg("run").arg("--config").arg(self.directory.path().join("collector.toml"));
        command.arg("--data-dir").arg(self.data_dir());
        for (flag, address) in
            [("--listen", ports.fleet), ("--enroll-listen", ports.enroll), ("--http-listen", ports.http)]
        {
            command.arg(flag).arg(address.to_string());
        }
        command
    }

    fn run(&mut self) {
        let command = self.command(self.ports);
        let mut process =
            Process::start("evenkeel-collector", command, &self.directory.path().join("collector.log"));
        let ready = process.wait_for("Collector is ready.", |_| true);
        let port =
            |name: &str| ready[name].as_str().and_then(|text| text.parse().ok()).expect("it says where");
        self.ports = Ports { fleet: port("fleet"), enroll: port("enroll"), http: port("http") };
        self.process = Some(process);
    }
}

/// A loopback address that no other test uses. Connections come from 127.0.0.1, so a port that a dead collector has
/// left is taken neither by them nor by another collector.
fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", NEXT.fetch_add(1, Ordering::Relaxed))
}
