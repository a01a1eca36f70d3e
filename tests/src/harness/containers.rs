//! A Docker engine of the test's own: its data, its socket, its networks. It ends with the test.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::cli::{Outcome, run};
use super::skip::{has_command, is_root};
use super::{Process, images, wait};

/// What is of a root that no fact is about, and much of it.
const LEFT_OUT: &[&str] =
    &["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./var/cache", "./var/lib/apt/lists"];

/// A running engine.
#[derive(Debug)]
pub struct Containers {
    process: Process,
    directory: TempDir,
}

impl Containers {
    /// Why none can be started on this machine; `None`: it can.
    pub fn obstacle() -> Option<&'static str> {
        match () {
            () if !is_root() => Some("an engine needs root"),
            () if !has_command("dockerd") || !has_command("docker") => Some("docker.io is not installed"),
            () if !Path::new("/sys/fs/cgroup/freezer").exists()
                && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() =>
            {
                Some("there are no control groups")
            }
            () => None,
        }
    }

    /// Starts one. What it would change of this machine's own network (addresses, forwarding, iptables) is left as it is.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        // In memory: whole roots of releases are laid down and taken away again, which took half of the time on a disk.
        nix::mount::mount(
            Some("tmpfs"),
            directory.path(),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some("size=4g,mode=0700"),
        )
        .expect("root may mount");
        let place = |name: &str| directory.path().join(name).display().to_string();
        let mut command = Command::new("dockerd");
        command.args([
            "--data-root",
            &place("data"),
            "--exec-root",
            &place("exec"),
            "--pidfile",
            &place("pid"),
        ]);
        command.args(["--host", &format!("unix://{}", place("socket")), "--bridge", "none"]);
        command.args([
            "--log-level",
            "warn",
            "--iptables=false",
            "--ip-masq=false",
            "--ip-forward=false",
            "--userland-proxy=false",
        ]);
        let process = Process::start("dockerd", command, &directory.path().join("dockerd.log"));
        let engine = Self { process, directory };
        wait::until(|| match engine.docker(&["version"]) {
            Outcome { code: Some(0), .. } => Ok(()),
            Outcome { stderr, .. } => Err(stderr),
        });
        engine
    }

    /// Runs `docker` with these arguments.
    pub fn docker(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    /// The same; it must succeed. Its output, without white space around it.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.docker(arguments).ok().trim().to_owned()
    }

    /// Loads the image of one of our programs, and gives its name.
    pub fn load(&self, program: &str) -> String {
        self.ok(&["load", "--quiet", "--input", &images::archive(program).display().to_string()]);
        images::name(program)
    }

    /// Makes an image of this root, and gives its name.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn import(&self, root: &Path, name: &str) -> String {
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--directory").arg(root);
        tar.args(LEFT_OUT.iter().map(|path| format!("--exclude={path}"))).arg(".");
        let mut tar = tar.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("tar is there");
        let mut import = self.command(&["import", "-", name]);
        import.stdin(tar.stdout.take().expect("it has an output"));
        run(&mut import).ok();
        assert!(tar.wait().expect("it is our child").success(), "tar of {}", root.display());
        name.to_owned()
    }

    /// A directory that lives as long as it does.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(arguments).stdin(Stdio::null());
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.directory.path());
        command
    }

    /// A test that fails shows what its containers said.
    #[expect(clippy::print_stderr, reason = "the test runner keeps it, and shows it with a failure")]
    fn show_logs(&self) {
        for container in self.docker(&["ps", "--all", "--format", "{{.Names}}"]).stdout.lines() {
            let Outcome { stdout, stderr, .. } = self.docker(&["logs", "--tail", "40", container]);
            eprintln!("--- the log of container {container}\n{stdout}{stderr}");
        }
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        let all = self.docker(&["ps", "--all", "--quiet"]).stdout;
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            self.docker(&[&["rm", "--force", "--volumes"], all.as_slice()].concat());
        }
        let networks = self.docker(&["network", "ls", "--quiet", "--filter", "type=custom"]).stdout;
        for network in networks.split_whitespace() {
            self.docker(&["network", "rm", network]);
        }
        // Told to end, it ends its containerd and unmounts what it has mounted.
        self.process.stop();
        unmount_below(self.directory.path());
    }
}

/// What an engine leaves mounted would keep its directory from going.
pub(super) fn unmount_below(directory: &Path) {
    let mut mounts = String::new();
    let _ = fs::File::open("/proc/self/mounts").and_then(|mut file| file.read_to_string(&mut mounts));
    let inside = directory.display().to_string();
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| at.starts_with(&inside))
        .collect();
    points.sort_unstable();
    for point in points.into_iter().rev() {
        let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
    }
}
