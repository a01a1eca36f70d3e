//! A container engine: a real dockerd on a host's network, with its own data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::cli::{run, tool};
use super::hosts::Network;
use super::{Process, wait};

/// It ends with the test.
#[derive(Debug)]
pub struct Engine {
    process: Process,
    directory: TempDir,
}

impl Engine {
    /// What it needs.
    pub const COMMANDS: &[&str] = &["nsenter", "dockerd", "docker", "iptables"];

    /// Starts it. `ip netns exec` would hide the control groups from it.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn start(network: &Network) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = |name: &str| directory.path().join(name).display().to_string();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/evenkeel-{}", network.name())).arg("dockerd");
        command.args(["--data-root", &file("data"), "--exec-root", &file("exec"), "--pidfile", &file("pid")]);
        command.args(["--host", &format!("unix://{}", file("socket"))]);
        let process = Process::start("dockerd", command, &directory.path().join("log"));
        let engine = Self { process, directory };
        wait::until(|| match engine.command(&["info"]).output() {
            Ok(output) if output.status.success() => Ok(()),
            other => Err(format!("dockerd does not answer: {other:?}")),
        });
        engine
    }

    /// Runs `docker` with these words; it must succeed. Its output.
    pub fn docker(&self, words: &[&str]) -> String {
        run(&mut self.command(words)).ok()
    }

    /// Makes an image that holds these programs of the machine, and the libraries that they need.
    ///
    /// # Panics
    ///
    /// When one of them is not there.
    pub fn image(&self, name: &str, programs: &[&str]) {
        let root = self.directory.path().join("image");
        for program in programs {
            let needs = tool("ldd", &[program]);
            let libraries = needs.split_whitespace().filter(|word| word.starts_with('/'));
            for file in libraries.chain([*program]) {
                copy(file, &root);
            }
        }
        let archive = self.directory.path().join("image.tar");
        tool("tar", &[Path::new("-cf"), &archive, Path::new("-C"), &root, Path::new(".")]);
        self.docker(&["import", &archive.display().to_string(), name]);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        let socket = self.directory.path().join("socket");
        command.arg("--host").arg(format!("unix://{}", socket.display())).args(words).stdin(Stdio::null());
        command
    }
}

/// A file, at the same path below this root; what a link leads to stands in the link's place.
fn copy(file: &str, root: &Path) {
    let target: PathBuf = root.join(file.trim_start_matches('/'));
    fs::create_dir_all(target.parent().expect("it lies below the root")).expect("the directory is ours");
    fs::copy(file, &target).unwrap_or_else(|error| panic!("{file}: {error}"));
}
