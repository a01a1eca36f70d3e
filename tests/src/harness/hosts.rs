//! Real hosts, made by the tools in `tests/hosts`: network namespaces on a bridge, and roots of other Debian releases.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::cli::{run, script, tool};
use super::{Agent, Node, programs, wait};

/// Where the machine's own libraries are seen inside, so that programs run in the root of an older release.
const LIBRARIES: &str = "/run/lib";

/// A network namespace; it goes with the test.
#[derive(Debug)]
pub struct Network {
    name: String,
    address: String,
}

impl Network {
    /// Makes one for this host. Tests run side by side, so each has its own.
    pub fn up(host: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{host}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let address = tool(script("netns.sh"), &["up", &name]).trim().to_owned();
        Self { name, address }
    }

    /// The address on this side, where a collector listens for all of them.
    pub fn gateway() -> String {
        tool(script("netns.sh"), &["gateway"]).trim().to_owned()
    }

    /// Runs a command inside; it must succeed. Its output.
    pub fn exec(&self, words: &[&str]) -> String {
        tool(script("netns.sh"), &[&["exec", &self.name], words].concat())
    }

    /// Sets a kernel parameter of the namespace, as an operator does.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.exec(&["sysctl", "-q", "-w", &format!("{key}={value}")]);
    }

    /// The cable is pulled: nothing arrives any more, and nobody is told.
    pub fn cut(&self) {
        self.port("down");
    }

    /// The cable is plugged in again.
    pub fn again(&self) {
        self.port("up");
    }

    /// The bridge's end, which `netns.sh` names by the address.
    fn port(&self, how: &str) {
        let number = self.address.rsplit('.').next().unwrap_or_default();
        tool("ip", &["link", "set", &format!("evenkeel{number}"), how]);
    }

    /// Its own address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name under which `netns.sh` and `enter.sh` know it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new(script("netns.sh")).args(["down", &self.name]).stdin(Stdio::null()).output();
    }
}

/// A host: a network namespace, a root of another release, and what was put there.
#[derive(Debug)]
pub struct Host {
    /// Its network; its own `net.*` parameters are in it.
    pub network: Network,
    name: String,
    root: PathBuf,
    state: TempDir,
    binds: Vec<(PathBuf, String)>,
}

impl Host {
    /// A host of this name with the root of this release, as `debootstrap-root.sh` has made it.
    ///
    /// # Panics
    ///
    /// When there is no such root.
    pub fn new(name: &str, release: &Path) -> Self {
        let state = tempfile::tempdir().expect("a directory can be made");
        let mut host = Self {
            network: Network::up(name),
            name: name.to_owned(),
            root: release.to_owned(),
            state,
            binds: Vec::new(),
        };
        let libraries =
            fs::canonicalize("/lib/x86_64-linux-gnu").expect("this machine has its libraries there");
        host.install(&libraries, LIBRARIES);
        host.install(&programs::path("evenkeel-agent"), "/run/evenkeel-agent");
        host.install(&programs::tree().join("tests/hosts"), "/run/hosts");
        host
    }

    /// Shows a file or directory of this machine at this path inside.
    pub fn install(&mut self, source: &Path, target: &str) {
        self.binds.push((source.to_owned(), target.to_owned()));
    }

    /// This host as a node: its agent is process 1 inside.
    pub fn node(&self, environment: &str, role: &str) -> Node {
        let mut by: Vec<OsString> = vec![script("enter.sh").into()];
        by.extend(["--net".into(), self.network.name().into()]);
        for (source, target) in &self.binds {
            by.extend(["--bind".into(), format!("{}:{target}", source.display()).into()]);
        }
        by.push(self.root.clone().into());
        by.push(self.directory().into());
        // The loader that the agent was built with, and its libraries: the root may have older ones.
        by.push(format!("{LIBRARIES}/ld-linux-x86-64.so.2").into());
        by.extend(["--library-path".into(), LIBRARIES.into()]);
        let inside = "/var/lib/evenkeel-agent";
        Node {
            name: self.name.clone(),
            environment: environment.to_owned(),
            role: role.to_owned(),
            root: None,
            by,
            program: Some("/run/evenkeel-agent".into()),
            config: String::new(),
            state: Some((inside.into(), self.directory().join("changes").join(&inside[1..]))),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `enter.sh` keeps of it; its last part is its host name.
    fn directory(&self) -> PathBuf {
        self.state.path().join(&self.name)
    }
}

/// Runs a command where this agent is: in its root and all its namespaces; it must succeed. Its output.
pub fn inside(agent: &mut Agent, words: &[&str]) -> String {
    let id = agent.process().id();
    // enter.sh waits for unshare, whose only child is the agent.
    let only_child = |id: &str| {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().next().map(str::to_owned).ok_or(format!("process {id} has no child"))
    };
    let first = wait::until(|| only_child(&only_child(&id.to_string())?));
    let mut command = Command::new("nsenter");
    command.args(["--target", &first, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"]);
    command.args(["/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    run(command.arg("HOME=/root").args(words).stdin(Stdio::null())).ok()
}
