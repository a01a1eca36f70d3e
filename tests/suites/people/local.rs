//! Users of the collector's own host, by the Unix socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::collector::UNLIMITED;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use evenkeel_tests::harness::{Collector, Settings, programs};

/// Runs `evenkeel` as `nobody`, who is of the group `nogroup` on every Debian.
fn as_nobody(collector: &Collector, program: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(program);
    command.args(arguments).arg("--data-dir").arg(collector.data_dir());
    run(command.current_dir("/").env_clear())
}

/// Promise: members of the configured Unix groups are let in by the socket with their group's role, and nobody else is;
/// the keys beside the socket stay out of their reach.
#[test]
fn groups_of_this_host() {
    if !is_root() || !has_command("setpriv") {
        return skipped("people (Unix groups)", "it takes root and setpriv");
    }
    let programs_of_all = tempfile::tempdir().unwrap();
    fs::set_permissions(programs_of_all.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = programs_of_all.path().join("evenkeel");
    fs::copy(programs::path("evenkeel"), &program).unwrap();
    let start = |access: &str| {
        let transport = format!("{UNLIMITED}\n[access]\n{access}\n");
        let collector = Collector::start(&Settings { transport, ..Settings::default() });
        fs::set_permissions(collector.directory(), fs::Permissions::from_mode(0o711)).unwrap();
        collector
    };
    let socket_of = |collector: &Collector| collector.data_dir().join("collector.sock");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let closed = start("");
    let refused = as_nobody(&closed, &program, &["nodes"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert_eq!((mode(&closed.data_dir()), mode(&socket_of(&closed))), (0o700, 0o600));

    let open = start("viewers_group = \"nogroup\"");
    assert_eq!((mode(&open.data_dir()), mode(&socket_of(&open))), (0o711, 0o660));
    as_nobody(&open, &program, &["nodes"]).ok();
    let refused = as_nobody(&open, &program, &["token", "create", "--env", "dev"]);
    assert!(refused.stderr.contains("refuses: viewer nobody may not call "), "{refused:#?}");
    for file in ["evenkeel.db", "ca"] {
        assert_eq!(mode(&open.data_dir().join(file)) & 0o077, 0, "{file}");
    }

    let both = start("viewers_group = \"daemon\"\noperators_group = \"nogroup\"");
    as_nobody(&both, &program, &["token", "create", "--env", "dev"]).ok();
    let other = start("viewers_group = \"daemon\"\noperators_group = \"root\"");
    let refused = as_nobody(&other, &program, &["nodes"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
}

/// Promise: a group that this host does not have is told before anything is served.
#[test]
fn a_group_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("collector.toml");
    fs::write(&config, "[access]\noperators_group = \"no-such-group\"\n").unwrap();
    let mut command = Command::new(programs::path("evenkeel-collector"));
    command.arg("run").arg("--config").arg(&config).arg("--data-dir").arg(directory.path().join("data"));
    for port in ["--listen", "--enroll-listen", "--http-listen"] {
        command.args([port, "127.0.0.1:0"]);
    }
    run(&mut command).refused(
        2,
        "evenkeel-collector cannot run: access.operators_group: this host has no group \"no-such-group\"\n",
    );
}
