//! The door to the machine, held against hostile directories.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evenkeel_facts::{Observation, Reason};
use evenkeel_sources::host::{HostError, Kind};
use evenkeel_sources::{Host, SourcesConfig, collect_all};
use nix::sys::stat::Mode;
use tempfile::TempDir;

#[test]
fn links_do_not_lead_out_of_the_root() {
    let (outside, root) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("secret"), "canary").unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/secret"), "inside").unwrap();
    let up = "../".repeat(40);
    symlink(outside.path().join("secret"), root.path().join("absolute")).unwrap();
    symlink(format!("{up}{}", outside.path().join("secret").display()), root.path().join("relative"))
        .unwrap();
    symlink("/etc/secret", root.path().join("inside")).unwrap();
    symlink("/proc/self/root", root.path().join("magic")).unwrap();
    symlink("loop", root.path().join("loop")).unwrap();
    let host = Host::at(root.path()).unwrap();
    assert_eq!(host.read_text("/inside", 100).unwrap(), "inside");
    for path in ["/absolute", "/relative", "/magic/etc/os-release", "/../../etc/os-release"] {
        assert_eq!(host.read(path, 100).unwrap_err().kind(), ErrorKind::NotFound, "{path}");
    }
    assert!(host.read("/loop", 100).is_err());
    assert_eq!(host.read_link("/absolute").unwrap(), outside.path().join("secret"));
}

/// Promise: where /proc is not to be seen, what stands there is hidden: neither missing, nor a thing that this host lacks.
#[test]
fn a_root_without_proc_hides_what_stands_there() {
    for directories in [&["etc"][..], &["etc", "proc"], &["etc", "proc/sys"]] {
        let root = TempDir::new().unwrap();
        for directory in directories {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let sections = collect_all(&Host::at(root.path()).unwrap(), &SourcesConfig::default());
        for path in [
            "kernel",
            "kernel.cmdline",
            "sysctl",
            "hardware.cpu",
            "hardware.memory",
            "limits.init",
            "process.restart_pending",
        ] {
            let seen = sections.iter().find_map(|section| section.find(path));
            assert_eq!(seen, Some(&Observation::Unreadable(Reason::Sandbox)), "{path} with {directories:?}");
        }
    }
}

/// Promise: what happens elsewhere on the machine makes nothing unreadable. The kernel refuses a path with `..` when
/// it sees any rename meanwhile.
#[test]
fn renames_elsewhere_do_not_disturb() {
    let (root, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("release"), "12").unwrap();
    symlink("../release", root.path().join("etc/release")).unwrap();
    let host = Host::at(root.path()).unwrap();
    let (one, other) = (elsewhere.path().join("one"), elsewhere.path().join("other"));
    fs::write(&one, "").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&one, &other).unwrap();
                fs::rename(&other, &one).unwrap();
            }
        });
        let refused = (0..20_000).find_map(|_| host.read("/etc/release", 10).err());
        done.store(true, Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
}

#[test]
fn magic_links_are_not_followed_below_a_root() {
    let host = Host::at(Path::new("/proc")).unwrap();
    assert!(host.read("/self/exe", usize::MAX).is_err());
    assert!(host.list("/self/cwd").is_err());
    assert!(!host.list("/self").unwrap().is_empty());
}

#[test]
fn only_regular_files_are_opened() {
    let root = TempDir::new().unwrap();
    // Opening a FIFO for reading would wait for a writer, and wake one that waits.
    nix::unistd::mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(root.path().join("directory")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    symlink("fifo", root.path().join("link")).unwrap();
    let host = Host::at(root.path()).unwrap();
    for (path, kind) in [
        ("/fifo", ErrorKind::Unsupported),
        ("/link", ErrorKind::Unsupported),
        ("/socket", ErrorKind::Unsupported),
        ("/directory", ErrorKind::IsADirectory),
    ] {
        assert_eq!(host.open_regular(path).unwrap_err().kind(), kind, "{path}");
        assert_eq!(host.read(path, 100).unwrap_err().kind(), kind, "{path}");
    }
    drop(socket);
    assert_eq!(Host::live().open_regular("/dev/null").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn reads_are_bounded_and_say_so() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), vec![b'x'; 10_000]).unwrap();
    fs::write(root.path().join("latin1"), b"\xe9").unwrap();
    let host = Host::at(root.path()).unwrap();
    assert_eq!(host.read("/file", 10_000).unwrap().len(), 10_000);
    assert_eq!(host.read("/file", 9_999).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(host.read_text("/latin1", 10).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn listings_are_in_order_and_tell_kinds() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("b")).unwrap();
    fs::write(root.path().join("a"), "").unwrap();
    symlink("a", root.path().join("c")).unwrap();
    let host = Host::at(root.path()).unwrap();
    let entries: Vec<_> = host.list("/").unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(
        entries,
        [("a".into(), Kind::File), ("b".into(), Kind::Directory), ("c".into(), Kind::Symlink)]
    );
    assert_eq!(host.stat("/c").unwrap().kind, Kind::File);
    assert_eq!(host.read_link("/a").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_root_that_is_none_is_an_error() {
    let error = Host::at(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the root directory /nowhere/at/all");
    let root = TempDir::new().unwrap();
    fs::write(root.path().join(".evenkeel-refusals"), "thirteen /proc\n").unwrap();
    assert!(matches!(Host::at(root.path()), Err(HostError::Refusals { .. })));
}

/// Promise: what belongs to a namespace that the agent is not in is said to be unreadable, never the value of its own.
#[test]
fn queues_of_another_namespace_are_not_the_hosts() {
    let program = std::env::current_exe().unwrap();
    if std::env::var_os("EVENKEEL_INSIDE").is_some() {
        let host = Host::at(Path::new("/proc/self/root")).unwrap();
        let seen = collect_all(&host, &SourcesConfig::default());
        let find = |path: &str| seen.iter().find_map(|section| section.find(path)).cloned();
        assert!(!host.shares_ipc());
        for path in ["sysctl.kernel.shmmax", "sysctl.kernel.sem"] {
            assert_eq!(find(path), Some(Observation::Unreadable(Reason::Namespace)), "{path}");
        }
        assert!(matches!(find("sysctl.vm.swappiness"), Some(Observation::Present(_))));
        return;
    }
    let test = ["queues_of_another_namespace_are_not_the_hosts", "--exact"];
    let mut inside = Command::new("unshare");
    inside.args(["--ipc", "--map-root-user"]).arg(program).args(test).env("EVENKEEL_INSIDE", "1");
    match inside.output() {
        // Where nobody may make namespaces, nobody is in one.
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare: ") => {}
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    }
}

/// `/proc/self/root` is this machine, but by way of a root: the agent in a container that the host's root is mounted
/// into sees the same as one on the host.
#[test]
fn the_machine_through_a_root_is_the_machine() {
    let through = Host::at(Path::new("/proc/self/root")).unwrap();
    assert!(!through.is_live() && through.shares_network());
    let own = std::process::id();
    assert!(through.processes().unwrap().contains(&own));
    assert_eq!(
        through.open_exe(own).unwrap().metadata().unwrap().len(),
        fs::metadata("/proc/self/exe").unwrap().len()
    );
    // Programs come and go while this test runs, and the name is read from another place; the rest holds still.
    let disable = vec!["go_programs".into(), "identity".into()];
    let config = SourcesConfig { disable, ..SourcesConfig::default() };
    assert_eq!(collect_all(&through, &config), collect_all(&Host::live(), &config));
}
