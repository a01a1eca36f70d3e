//! podman with a store of the test's own. What it has started ends with the test.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::skip::{has_command, is_root};
use serde_json::Value;
use tempfile::TempDir;

/// podman, and where it keeps what it has.
pub(super) struct Podman {
    directory: TempDir,
}

impl Podman {
    /// Why no pod can be played on this machine; `None`: it can.
    pub(super) fn obstacle() -> Option<&'static str> {
        match () {
            () if !is_root() => Some("a pod on the node's network needs root"),
            () if ["podman", "runc", "conmon", "catatonit"].iter().any(|name| !has_command(name)) => {
                Some("podman, runc, conmon or catatonit is not installed")
            }
            () => None,
        }
    }

    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Runs `podman` with these arguments.
    pub(super) fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.command(false).args(arguments))
    }

    pub(super) fn load(&self, archive: &Path) {
        self.run(&["load", "--quiet", "--input", &archive.display().to_string()]).ok();
    }

    /// Plays a pod that is on the node's network.
    pub(super) fn play(&self, pod: &Value) {
        self.play_by(pod, "host");
    }

    /// Plays a pod that has a network namespace of its own, with nothing in it.
    pub(super) fn play_without_network(&self, pod: &Value) {
        self.play_by(pod, "none");
    }

    fn play_by(&self, pod: &Value, network: &str) {
        let file = self.directory.path().join("pod.json");
        fs::write(&file, pod.to_string()).unwrap();
        let mut command = self.command(pod["spec"]["hostPID"] == true);
        run(command.args(["play", "kube", "--network", network]).arg(file)).ok();
    }

    /// Deletes the pod, as an update does before it makes another.
    pub(super) fn remove(&self) {
        self.run(&["pod", "rm", "--force", "--time", "10", "agent"]).ok();
    }

    /// What this container has said, for a test that fails.
    pub(super) fn logs_of(&self, container: &str) -> String {
        let names = self.run(&["ps", "--all", "--format", "{{.Names}}: {{.Status}}"]).stdout;
        let Outcome { stdout, stderr, .. } = self.run(&["logs", "--tail", "30", container]);
        format!("{names}{stdout}{stderr}")
    }

    /// Limits above this machine's own need a privilege that root may not have here; runc takes hierarchies of control groups
    /// of both ages at once.
    fn command(&self, host_pids: bool) -> Command {
        let place = |name: &str| self.directory.path().join(name).display().to_string();
        let pids = if host_pids { "host" } else { "private" };
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\npidns = {pids:?}\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
        );
        let file = self.directory.path().join(format!("containers-{pids}.conf"));
        fs::write(&file, config).unwrap();
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", file).stdin(Stdio::null());
        command.args(["--root", &place("root"), "--runroot", &place("run"), "--tmpdir", &place("tmp")]);
        command.args(["--runtime", "runc"]);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["pod", "rm", "--force", "--all", "--time", "1"]);
        self.run(&["rmi", "--force", "--all"]);
        for mounted in ["root/overlay", "root/overlay-containers", "root"] {
            let _ = run(Command::new("umount").arg("--lazy").arg(self.directory.path().join(mounted)));
        }
    }
}
