//! A root that somebody made to hurt: the agent looks at it, says what it left out, and needs no more time and memory
//! than for any other.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// In kilobytes: what the agent may need at most (ru_maxrss), in a debug build, of which 9 MB are the program itself.
const MOST_KILOBYTES: u64 = 20 * 1024;
/// So many files are in one directory: more than one may have to be listed. `make test-hosts` makes a million.
const CROWD: &str = "EVENKEEL_HOSTILE_FILES";
const DEFAULT_CROWD: usize = 20_000;
/// So many are all listed: what costs the most memory.
const FULL: usize = 16_000;
/// So often the agent looks while processes come and go.
const LOOKS: usize = 5;

/// Promise: FIFOs, devices, sockets, links in circles and out of the root, a file of 700 MB named like a program, a
/// directory with more files than anybody has, and names with escape sequences: the sweep ends, what was left out is
/// named, all else is seen, nothing outside is, and memory stays bounded.
#[test]
fn a_hostile_root_is_looked_at_and_hurts_nobody() {
    if !has_command("python3") {
        return skipped("hostile_tree", "python3 measures what the agent needs");
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let at = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    fs::write(at("etc/os-release"), "ID=hostile\nVERSION_ID=\"1\\\"\u{1b}[31m\"\n").unwrap();
    fs::write(directory.path().join("outside"), "ID=canary\n").unwrap();
    let up = "../".repeat(30);
    for (link, target) in [
        ("usr/lib/os-release", format!("{up}{}/outside", directory.path().display())),
        ("etc/localtime", "/proc/self/root/etc/localtime".to_owned()),
        ("etc/sysctl.d/10-circle.conf", "10-circle.conf".to_owned()),
        ("etc/sysctl.d/20-out.conf", directory.path().join("outside").display().to_string()),
        ("opt/circle", "../opt/circle".to_owned()),
        ("opt/self", ".".to_owned()),
    ] {
        symlink(target, at(link)).unwrap();
    }
    for fifo in [
        "etc/hostname",
        "var/lib/dpkg/status",
        "usr/bin/fifo",
        "etc/sysctl.d/30-fifo.conf",
        "var/lib/rpm/rpmdb.sqlite",
    ] {
        nix::unistd::mkfifo(&at(fifo), Mode::S_IRWXU).unwrap();
    }
    let _socket = UnixListener::bind(at("usr/bin/socket")).unwrap();
    fs::write(at("etc/sysctl.d/40-last.conf"), "vm.swappiness = 7\n").unwrap();
    // Sparse: on the disk it takes nothing.
    let large = File::create(at("usr/bin/kubelet")).unwrap();
    large.set_len(700 << 20).unwrap();
    // An executable for amd64 whose every other number is as large as can be.
    let head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0";
    fs::write(at("usr/bin/\u{1b}]0;owned\u{7}\n"), [head.as_slice(), &vec![0xff; 400_000]].concat()).unwrap();
    let deep = (0..300).fold("opt/deep".to_owned(), |path, _| path + "/d");
    fs::create_dir_all(at(&deep)).unwrap();
    devices(&at);
    let crowd = at("opt/crowd/bin/x");
    for number in 0..env::var(CROWD).map_or(DEFAULT_CROWD, |count| count.parse().unwrap()) {
        File::create(crowd.with_file_name(format!("f{number}"))).unwrap();
    }
    let full = at("opt/full/bin/x");
    for number in 0..FULL {
        File::create(full.with_file_name(format!("f{number}"))).unwrap();
    }

    let seen = Seen::of(&root);
    assert_eq!(seen.facts["os.id"], "hostile");
    assert_eq!(seen.facts["sysctl.persisted[vm.swappiness].value"], "7");
    for (path, reason) in [
        ("package", "unsupported"),
        ("sysctl.persisted", "io"),
        ("go.program_directory[/opt/crowd/bin]", "truncated"),
        ("go.program_file[/usr/bin/%1B%5D0;owned%07%0A]", "malformed"),
        ("go.program", "partial"),
    ] {
        let unreadable = seen.facts.get(path).map(|fact| fact["unreadable"].clone());
        assert_eq!(unreadable, Some(reason.into()), "{path} in {:#?}", seen.facts);
    }
    if is_root() {
        assert_eq!(seen.facts["time.servers"]["unreadable"], "unsupported");
    }
    assert!(!seen.text.contains("canary") && !seen.text.contains('\u{1b}'), "{}", seen.text);
    assert!(seen.kilobytes < MOST_KILOBYTES, "it took {} KB of memory", seen.kilobytes);
}

/// Promise: a file system that never answers stops nobody: its places are named, the rest is seen.
#[test]
fn a_mount_that_never_answers_is_passed_over() {
    let Some(mut mount) = Silent::up() else { return };
    let seen = Seen::of(mount.root.path());
    assert_eq!(seen.facts["os.id"], "silent");
    assert_eq!(seen.facts["go.program_directory[/opt/silent]"]["unreadable"], "unsupported");
    mount.down();
}

/// Promise: a file system that never answers, where nobody would expect one, costs the source that reads there and no
/// other, and what that source covers cannot be told.
#[test]
fn a_read_that_never_returns_stops_one_source() {
    let Some(mut mount) = Silent::at("etc/sysctl.d") else { return };
    let seen = Seen::of(mount.root.path());
    assert_eq!(seen.facts["os.id"], "silent");
    let whole = seen.facts.keys().filter(|path| path.starts_with("sysctl"));
    for path in whole {
        assert_eq!(seen.facts[path]["unreadable"], "timeout", "{path}");
    }
    assert_eq!(seen.facts["sysctl"]["unreadable"], "timeout");
    let others = seen
        .facts
        .iter()
        .filter(|(path, fact)| !path.starts_with("sysctl") && fact["unreadable"] == "timeout");
    assert_eq!(others.count(), 0, "{:#?}", seen.facts);
    mount.down();
}

/// Promise: processes that come and go while the agent looks are no trouble of their own: what has ended is not there.
#[test]
fn processes_that_vanish_are_not_there() {
    let churn: Vec<_> = (0..4).map(|_| Churn::start()).collect();
    for _ in 0..LOOKS {
        let seen = Seen::of(Path::new("/"));
        for (path, fact) in &seen.facts {
            let is_theirs = path.starts_with("go.process[true]") || path == "process.restart_pending";
            let reason = fact["unreadable"].as_str().unwrap_or("permission");
            assert!(!is_theirs || reason == "permission", "{path} is unreadable ({reason})");
            assert!(!path.starts_with("go.process[true]") || !is_root(), "{path}: {fact}");
        }
        assert!(seen.kilobytes < MOST_KILOBYTES, "it took {} KB of memory", seen.kilobytes);
    }
    drop(churn);
}

/// Processes without end, each of which ends at once.
struct Churn(Child);

impl Churn {
    fn start() -> Self {
        let mut shell = Command::new("sh");
        Self(shell.args(["-c", "while :; do /bin/true; done"]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Devices where files are expected: one that never ends, one that waits for a key, one of a disk. Only root makes them.
fn devices(at: &dyn Fn(&str) -> PathBuf) {
    if !is_root() {
        return skipped("hostile_tree", "devices are made by root only");
    }
    let places = [
        ("etc/chrony.conf", SFlag::S_IFCHR, makedev(1, 5)),
        ("usr/bin/zero", SFlag::S_IFCHR, makedev(1, 5)),
        ("usr/bin/terminal", SFlag::S_IFCHR, makedev(5, 0)),
        ("usr/bin/disk", SFlag::S_IFBLK, makedev(7, 0)),
        ("etc/sysctl.d/35-disk.conf", SFlag::S_IFBLK, makedev(7, 0)),
    ];
    for (path, kind, device) in places {
        mknod(&at(path), kind, Mode::S_IRUSR | Mode::S_IWUSR, device).unwrap();
    }
}

struct Seen {
    facts: Map<String, Value>,
    text: String,
    kilobytes: u64,
}

impl Seen {
    /// What `collect` says of a root, with the most memory that it needed.
    fn of(root: &Path) -> Self {
        // Who hangs is killed, so that a test that fails ends.
        let measured = "import resource, subprocess, sys\n\
             out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True, timeout=120).stdout\n\
             sys.stdout.buffer.write(out)\n\
             print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)";
        let mut command = Command::new("python3");
        command.args(["-c", measured]).arg(programs::path("evenkeel-agent"));
        let outcome = run(command.args(["collect", "--root"]).arg(root).stdin(Stdio::null()));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let snapshot: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let sections = snapshot["sections"].as_array().unwrap().iter();
        let facts = sections.flat_map(|section| section["facts"].as_object().unwrap().clone()).collect();
        Self { facts, text: outcome.stdout, kilobytes: outcome.stderr.trim().parse().unwrap() }
    }
}

/// A FUSE mount whose server never says a word: whoever touches it waits.
struct Silent {
    root: TempDir,
    point: PathBuf,
    server: Option<File>,
}

impl Silent {
    fn up() -> Option<Self> {
        Self::at("opt/silent")
    }

    fn at(place: &'static str) -> Option<Self> {
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let Ok(server) = server.map_err(drop).and_then(|server| is_root().then_some(server).ok_or(())) else {
            skipped("hostile_tree", "a FUSE mount needs root and /dev/fuse");
            return None;
        };
        let root = tempfile::tempdir().unwrap();
        let point = root.path().join(place);
        fs::create_dir_all(&point).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/os-release"), "ID=silent\n").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        mount(Some("silent"), &point, Some("fuse.silent"), MsFlags::empty(), Some(options.as_str())).unwrap();
        Some(Self { root, point, server: Some(server) })
    }

    fn down(&mut self) {
        if let Some(server) = self.server.take() {
            // Without its server the file system is dead, and lets go of whoever waits.
            drop(server);
            let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.down();
    }
}
