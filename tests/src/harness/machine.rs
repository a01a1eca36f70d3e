//! A machine for an agent to look at: a recorded Debian 12 in a directory, that a test changes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use evenkeel_sources::go_buildinfo::Minimal;
use tempfile::TempDir;

use super::cli::tool;
use super::{Node, programs};

/// The recorded host that every machine begins as.
const RECORDED: &str = "agent/sources/testdata/bookworm";
/// Where its C library is.
const LIBC: &str = "usr/lib/x86_64-linux-gnu/libc.so.6";

/// A machine in a directory of its own.
#[derive(Debug)]
pub struct Machine {
    name: String,
    root: TempDir,
}

impl Machine {
    /// A machine of this name. All machines are the same, but for what must be unique; everything that matters for
    /// the comparison of two machines can be read.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory can be made");
        // Agents of other users look at it, too.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let recorded = programs::tree().join(RECORDED).join(".");
        tool("cp", &[Path::new("-a"), &recorded, root.path()]);
        let machine = Self { name: name.to_owned(), root };
        machine.write(".evenkeel-refusals", "");
        machine.write("proc/sys/kernel/hostname", &format!("{name}\n"));
        machine.write("etc/machine-id", &format!("{}\n", uuid::Uuid::new_v4().simple()));
        machine.write("run/systemd/timesync/synchronized", "");
        machine.write(
            "proc/1/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            1024                 524288               files     \n",
        );
        machine.write("sys/kernel/security/lsm", "lockdown,capability,yama\n");
        machine.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        machine.go("1.21.13");
        machine.program("pay", "1.21.13", &[("golang.org/x/net", "v0.24.0")]);
        machine
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// This machine as a node of this environment.
    pub fn node(&self, environment: &str) -> Node {
        Node::new(&self.name, environment, self.root())
    }

    /// A file with this text.
    pub fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    /// A kernel parameter by its key, as `sysctl -w`.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.write(&format!("proc/sys/{}", key.replace('.', "/")), &format!("{value}\n"));
    }

    /// Another version of the C library, such as `2.31`, of the same length as the one that is there.
    ///
    /// # Panics
    ///
    /// When the recorded library is another than this expects.
    pub fn glibc(&self, version: &str) {
        let library = fs::read(self.root().join(LIBC)).expect("the recorded host has glibc");
        let (old, new) = ("version 2.36.", format!("version {version}."));
        let at = library.windows(old.len()).position(|window| window == old.as_bytes());
        let at = at.expect("the recorded glibc is 2.36");
        let changed = [&library[..at], new.as_bytes(), &library[at + old.len()..]].concat();
        self.write_bytes(LIBC, &changed);
    }

    /// Another edition of the time zone database, such as `2024a`.
    pub fn tzdata(&self, edition: &str) {
        self.write("usr/share/zoneinfo/tzdata.zi", &format!("# version {edition}\n"));
    }

    /// The Go toolchain that `go` is, such as `1.21.13`.
    pub fn go(&self, version: &str) {
        self.write("usr/local/go/VERSION", &format!("go{version}\ntime 2024-01-01T00:00:00Z\n"));
        // What stands there since Go 1.21, and is built in before.
        let settings = "GOPROXY=https://proxy.golang.org,direct\nGOSUMDB=sum.golang.org\n";
        self.write("usr/local/go/go.env", settings);
        let modinfo = "path\tcmd/go\nbuild\t-compiler=gc\n";
        self.write_bytes(
            "usr/local/go/bin/go",
            &Minimal::default().program(&format!("go{version}"), modinfo),
        );
    }

    /// A Go program `/usr/local/bin/NAME` of the module `example.org/NAME`.
    pub fn program(&self, name: &str, go: &str, modules: &[(&str, &str)]) {
        self.program_at(&format!("usr/local/bin/{name}"), name, go, modules);
    }

    /// A Go program of the module `example.org/NAME` at this path.
    pub fn program_at(&self, path: &str, name: &str, go: &str, modules: &[(&str, &str)]) {
        let dependencies: Vec<_> =
            modules.iter().map(|(path, version)| format!("dep\t{path}\t{version}\t\n")).collect();
        let dependencies = dependencies.concat();
        let modinfo = format!("path\texample.org/{name}\nmod\texample.org/{name}\tv1.4.0\t\n{dependencies}");
        let program = Minimal::default().program(&format!("go{go}"), &modinfo);
        self.write_bytes(path, &program);
    }

    /// Whole or not at all, so that an agent that looks meanwhile sees the one or the other.
    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path: PathBuf = self.root().join(path);
        let directory = path.parent().expect("it lies below the root");
        fs::create_dir_all(directory).expect("the root is ours");
        let new = tempfile::NamedTempFile::new_in(self.root()).expect("the root is ours");
        fs::write(new.path(), bytes).expect("it is ours");
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        new.persist(&path).expect("it can be replaced");
    }
}
