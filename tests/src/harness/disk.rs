//! A disk of a test's own: ext4 in a file, by `tests/hosts/disk.sh`. It can lose its power, fill up or be slow.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::cli::{script, tool};
use super::skip::{has_command, is_root};

/// A mounted disk; it goes with the test, after everybody who uses it.
#[derive(Debug)]
pub struct Disk {
    directory: TempDir,
}

impl Disk {
    /// Why there cannot be one here.
    pub fn impossible() -> Option<&'static str> {
        match (is_root(), has_command("mkfs.ext4"), Path::new("/dev/loop-control").exists()) {
            (false, ..) => Some("only root can mount a disk"),
            (_, false, _) => Some("there is no mkfs.ext4 (Debian: e2fsprogs)"),
            (.., false) => Some("this kernel has no loop devices"),
            _ => None,
        }
    }

    /// An empty one of so many MiB.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new(mib: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let disk = Self { directory };
        disk.script("make", &[&mib.to_string()]);
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// All that was written so far is on the disk.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn sync(&self) {
        let root = fs::File::open(self.path()).expect("it is mounted");
        nix::unistd::syncfs(root).expect("it takes writes");
    }

    /// The power goes: what was not written through by then never will be.
    pub fn cut(&self) {
        self.script("cut", &[]);
    }

    /// The machine starts again. Nobody may use the disk.
    pub fn again(&self) {
        self.script("again", &[]);
    }

    /// It takes so many writes a second; 0: as many as it can. Whether that can be had here.
    pub fn slow(&self, writes_a_second: u32) -> bool {
        let mut command = Command::new(script("disk.sh"));
        command.arg("slow").arg(self.directory.path()).arg(writes_a_second.to_string());
        command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    }

    /// Something else takes all that is left of it, until it is told to give it back.
    ///
    /// # Panics
    ///
    /// When it cannot be written at all.
    pub fn fill_up(&self) -> Ballast {
        let path = self.path().join("ballast");
        let mut file = fs::File::create(&path).expect("the disk is ours");
        let some = vec![0x55; 256 * 1024];
        // Written through: what is only promised room is found out later, by others.
        while file.write_all(&some).and_then(|()| file.sync_all()).is_ok() {}
        Ballast(path)
    }

    fn script(&self, verb: &str, rest: &[&str]) {
        let directory = self.directory.path().display().to_string();
        tool(script("disk.sh"), &[&[verb, &directory], rest].concat());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut command = Command::new(script("disk.sh"));
        let _ = command.arg("remove").arg(self.directory.path()).stdin(Stdio::null()).output();
    }
}

/// What fills a disk.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// It goes.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn drop_it(self) {
        fs::remove_file(self.0).expect("it is there");
    }
}
