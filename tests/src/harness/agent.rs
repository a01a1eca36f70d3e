//! The program `evenkeel-agent`: enrolled, and running.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_runtime::keys;
use evenkeel_runtime::tls::{self, Chain};
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use super::cli::{Outcome, run};
use super::{Collector, Machine, Process, programs, wait};

/// A machine that is to be a node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// Its role.
    pub role: String,
    /// The directory to take for its root; `None`: the agent stands on the machine.
    pub root: Option<PathBuf>,
    /// What the agent's program is started by: words before it, such as `ip netns exec web-1`.
    pub by: Vec<OsString>,
    /// The agent's program as seen from there; `None`: the one that was built.
    pub program: Option<PathBuf>,
    /// Lines of the agent's configuration.
    pub config: String,
    /// Its state directory, as seen from there and as seen from here; `None`: a directory of the test's.
    pub state: Option<(PathBuf, PathBuf)>,
}

impl Node {
    /// The machine with this root.
    pub fn new(name: &str, environment: &str, root: &Path) -> Self {
        Self {
            name: name.to_owned(),
            environment: environment.to_owned(),
            root: Some(root.to_owned()),
            ..Self::default()
        }
    }
}

/// An enrolled agent. Runs when it is told to.
#[derive(Debug)]
pub struct Agent {
    /// Ends before its directory goes.
    process: Option<Process>,
    node: Node,
    directory: TempDir,
    id: String,
}

impl Agent {
    /// Enrols the machine and starts its agent.
    pub fn start(collector: &Collector, node: Node) -> Self {
        let mut agent = Self::enrol(collector, node);
        agent.run();
        agent
    }

    /// The same for each machine in its environment, until each agent's first state is acknowledged.
    pub fn all<'a>(
        collector: &Collector,
        machines: impl IntoIterator<Item = (&'a Machine, &'a str)>,
    ) -> Vec<Self> {
        let start =
            |(machine, environment): (&Machine, &str)| Self::start(collector, machine.node(environment));
        let mut agents: Vec<_> = machines.into_iter().map(start).collect();
        for agent in &mut agents {
            agent.wait_acknowledged();
        }
        agents
    }

    /// Enrols the machine with a token of its own.
    ///
    /// # Panics
    ///
    /// When it is not let in.
    pub fn enrol(collector: &Collector, node: Node) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        // Agents of other users keep their state there, too.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let mut agent = Self { process: None, node, directory, id: String::new() };
        let token = collector.token(&agent.node.environment, &[]);
        agent.enrol_with(&collector.enroll_url(), &token, &[]).ok();
        agent.id = agent.enrolled_id();
        agent
    }

    fn enrolled_id(&self) -> String {
        let text = fs::read(self.state_dir().join("node.json")).expect("enrolment keeps who it is");
        let enrolled: Value = serde_json::from_slice(&text).expect("in JSON");
        enrolled["node"].as_str().expect("with its id").to_owned()
    }

    /// Runs `enroll` with this token.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn enrol_with(&self, url: &str, token: &Path, arguments: &[&str]) -> Outcome {
        let Node { name, role, .. } = &self.node;
        let mut command = self.command("enroll");
        command.args(["--collector", url, "--name", name, "--role", role, "--token-file", "-"]);
        run(command.args(arguments).stdin(File::open(token).expect("the token is in a file")))
    }

    /// Who it is: the node's UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its node's name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Its state directory, as seen from here.
    pub fn state_dir(&self) -> PathBuf {
        let given = self.node.state.as_ref().map(|(_, outside)| outside.clone());
        given.unwrap_or_else(|| self.directory.path().join("state"))
    }

    /// What it proves itself with to this collector.
    ///
    /// # Panics
    ///
    /// When it is not enrolled.
    pub fn tls(&self, collector: &Collector) -> ClientConfig {
        let state = self.state_dir();
        let chain = Chain {
            certificates: keys::read_certificates(&state.join("node.crt")).expect("it is enrolled"),
            key: keys::read_key(&state.join("node.key")).expect("it is enrolled").to_der(),
        };
        let roots = keys::read_certificates(&collector.data_dir().join("ca/1/root.crt"));
        tls::client(&roots.expect("the collector has a root"), chain).expect("they fit")
    }

    /// Starts the daemon; it looks everywhere every second.
    pub fn run(&mut self) {
        self.run_every("1s");
    }

    /// Starts the daemon; it looks everywhere so often, such as `1h`.
    pub fn run_every(&mut self, interval: &str) {
        let mut command = self.command("run");
        command.args(["--interval", interval]);
        if !self.node.config.is_empty() {
            let config = self.directory.path().join("agent.toml");
            fs::write(&config, &self.node.config).expect("the directory is ours");
            command.arg("--config").arg(config);
        }
        let log = self.log();
        self.process = Some(Process::start(&format!("evenkeel-agent {}", self.node.name), command, &log));
    }

    /// The log of its daemons.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("agent.log")
    }

    /// The running daemon.
    ///
    /// # Panics
    ///
    /// When it was ended.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// Waits until the collector has acknowledged a state in this run of the daemon; its root digest.
    pub fn wait_acknowledged(&mut self) -> String {
        let event = self.process().wait_for("State acknowledged.", |_| true);
        event["root"].as_str().expect("it says which").to_owned()
    }

    /// The root digests that this run of the daemon has seen acknowledged, in order.
    pub fn acknowledged(&mut self) -> Vec<String> {
        let events = self.process().logged("State acknowledged.");
        events.iter().map(|event| event["root"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until one more state is acknowledged than these.
    pub fn wait_acknowledged_beyond(&mut self, known: usize) -> String {
        wait::until(|| self.acknowledged().get(known).cloned().ok_or(format!("{known} are acknowledged")))
    }

    fn command(&self, verb: &str) -> Command {
        let program = self.node.program.clone().unwrap_or_else(|| programs::path("evenkeel-agent"));
        let mut words = self.node.by.iter().cloned().chain([program.into_os_string()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        let state = self.node.state.as_ref().map_or_else(|| self.state_dir(), |(inside, _)| inside.clone());
        command.args(words).arg(verb).arg("--state-dir").arg(state);
        if let Some(root) = &self.node.root {
            command.arg("--root").arg(root);
        }
        command
    }
}
