//! A booted systemd host: `tests/hosts/nspawn.sh`, in a network of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::cli::{Outcome, run, script, tool};
use super::hosts::Network;
use super::wait;
use tempfile::TempDir;

/// A host that has booted; it is powered off with the test.
#[derive(Debug)]
pub struct Booted {
    /// Its network; inside, its parameters are read-only.
    pub network: Network,
    /// Where its changes are kept, if they outlive a boot.
    kept: Option<TempDir>,
}

impl Booted {
    /// The same, and what it changes outlives a reboot.
    ///
    /// # Panics
    ///
    /// When it does not boot.
    pub fn kept(name: &str, root: &Path, files: &[(&Path, &str)]) -> Self {
        let kept = tempfile::tempdir().expect("a directory can be made");
        let places = ["upper", "work", "root"].map(|name| kept.path().join(name));
        for place in &places {
            fs::create_dir(place).expect("the directory is ours");
        }
        let [upper, work, merged] = &places;
        let options =
            format!("lowerdir={},upperdir={},workdir={}", root.display(), upper.display(), work.display());
        tool("mount", &["-t", "overlay", "overlay", "-o", &options, &merged.display().to_string()]);
        let network = Network::up(name);
        let host = Self { network, kept: Some(kept) };
        host.boot(merged, files, &["--volatile=no".to_owned()]);
        host
    }

    /// Boots this root, with this machine's files (source and target) shown inside.
    ///
    /// # Panics
    ///
    /// When it does not boot.
    pub fn up(name: &str, root: &Path, files: &[(&Path, &str)]) -> Self {
        let host = Self { network: Network::up(name), kept: None };
        host.boot(root, files, &[]);
        host
    }

    fn boot(&self, root: &Path, files: &[(&Path, &str)], options: &[String]) {
        let binds = files.iter().map(|(from, to)| format!("--bind-ro={}:{to}", from.display()));
        let words = ["up".to_owned(), self.network.name().to_owned(), root.display().to_string()];
        let words: Vec<_> = words.into_iter().chain(binds).chain(options.iter().cloned()).collect();
        tool(script("nspawn.sh"), &words);
    }

    /// Reboots it, and returns when it has. `started` is when its process 1 was: field 22 of /proc/1/stat.
    pub fn reboot(&self, started: &str) {
        // It ends before it answers.
        let _ = self.run("systemctl reboot");
        wait::until(|| {
            let state = self
                .run("[[ $(systemctl is-system-running --wait) == running ]] && cut -d' ' -f22 /proc/1/stat");
            let other = state.stdout.trim() != started && !state.stdout.trim().is_empty();
            if state.code == Some(0) && other { Ok(()) } else { Err(format!("{state:?}")) }
        });
    }

    /// The command that runs this script of Bash inside.
    pub fn command(&self, text: &str) -> Command {
        let mut command = Command::new(script("nspawn.sh"));
        command.args(["exec", self.network.name(), "bash", "-ec", text]).stdin(Stdio::null());
        command
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
        if let Some(kept) = &self.kept {
            let _ = Command::new("umount").arg(kept.path().join("root")).output();
        }
    }
}
