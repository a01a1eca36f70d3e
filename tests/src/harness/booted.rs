//! A booted systemd host: `tests/hosts/nspawn.sh`, in a network of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::cli::{Outcome, run, script, tool};
use super::hosts::Network;

/// A host that has booted; it is powered off with the test.
#[derive(Debug)]
pub struct Booted {
    /// Its network. Of all parameters of the kernel only those of the network can be set inside.
    pub network: Network,
}

impl Booted {
    /// Boots this root, with this machine's files (source and target) shown inside.
    ///
    /// # Panics
    ///
    /// When it does not boot.
    pub fn up(name: &str, root: &Path, files: &[(&Path, &str)]) -> Self {
        Self::with(name, root, files, &[])
    }

    /// The same, with further options of systemd-nspawn.
    ///
    /// # Panics
    ///
    /// When it does not boot.
    pub fn with(name: &str, root: &Path, files: &[(&Path, &str)], options: &[&str]) -> Self {
        let network = Network::up(name);
        let binds = files.iter().map(|(from, to)| format!("--bind-ro={}:{to}", from.display()));
        let words = ["up".to_owned(), network.name().to_owned(), root.display().to_string()];
        let options = options.iter().map(|option| (*option).to_owned());
        tool(script("nspawn.sh"), &words.into_iter().chain(binds).chain(options).collect::<Vec<_>>());
        Self { network }
    }

    /// The command that runs this script of Bash inside.
    pub fn command(&self, text: &str) -> Command {
        let mut command = Command::new(script("nspawn.sh"));
        command.args(["exec", self.network.name(), "bash", "-ec", text]).stdin(Stdio::null());
        command
    }

    /// Reboots it from inside, and returns when it is up again, with the disk that it had.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn reboot(&self) {
        tool(script("nspawn.sh"), &["reboot", self.network.name()]);
    }

    /// Runs this script of Bash inside, to its end.
    pub fn run(&self, text: &str) -> Outcome {
        run(&mut self.command(text))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let name = self.network.name();
        let _ = Command::new(script("nspawn.sh")).args(["down", name]).stdin(Stdio::null()).output();
        // Its console is worth a look only when something went wrong.
        if !thread::panicking() {
            let _ = fs::remove_file(format!("/run/evenkeel-nspawn/{name}.log"));
        }
    }
}
