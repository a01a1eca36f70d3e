//! Hosts looked at over a real OpenSSH server: nothing is installed there, nothing is left behind.

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evenkeel_drift::Report;
use evenkeel_facts::snapshot_file;
use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::{Cli, programs, wait};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use server::Server;

/// `evenkeel scan` of these hosts of the server's `ssh` configuration.
fn command(server: &Server, hosts: &[&str], directory: &Path, further: &[&str]) -> Command {
    let ssh = server.ssh();
    let out = directory.display().to_string();
    let fixed = ["--env", "staging", "--role", "web", "--ssh", &ssh, "-o", &out];
    Cli::alone().command(&[&["scan"], hosts, &fixed[..], further].concat())
}

fn scan(server: &Server, hosts: &[&str], directory: &Path, further: &[&str]) -> Outcome {
    run(&mut command(server, hosts, directory, further))
}

/// The snapshot files of a directory, by name.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Promise: hosts without an agent yield snapshots that report, diff and gate read; one host that cannot be reached stops
/// no other, and is named with what ssh says; nothing is left on the hosts.
#[test]
fn hosts_are_looked_at_and_nothing_is_left() {
    let Some(server) = Server::start("") else { return };
    let work = tempfile::tempdir().unwrap();
    let directory = work.path().join("staging");
    let outcome = scan(&server, &["web-1", "gone", "web-2"], &directory, &["--jobs", "2"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(2), ""), "{outcome:#?}");
    assert!(outcome.stdout.contains("1 of 3 hosts failed"), "{outcome:#?}");
    assert!(outcome.stdout.contains("ssh failed: ssh: connect to host 127.0.0.1 port"), "{outcome:#?}");
    assert_eq!(files(&directory), ["web-1.json", "web-2.json"]);
    assert_eq!(server.left_behind(), [] as [PathBuf; 0]);

    let snapshot = snapshot_file::from_json(&fs::read(directory.join("web-1.json")).unwrap()).unwrap();
    assert_eq!((snapshot.environment.as_deref(), snapshot.role.as_str()), (Some("staging"), "web"));
    assert!(snapshot.sections.len() > 5, "{}", snapshot.sections.len());
    let shown = directory.display().to_string();
    let report: Report = Cli::alone().json(&["report", &shown, &format!("prod={shown}")]);
    assert_eq!(report.environments.iter().map(|environment| environment.nodes).collect::<Vec<_>>(), [2, 2]);
    let gate = Cli::alone().run(&[
        "gate",
        &format!("file:{shown}/web-1.json"),
        &format!("file:{shown}"),
        "--fail-on",
        "critical",
    ]);
    assert!(matches!(gate.code, Some(0 | 3)), "{gate:#?}");
}

/// Promise: where an agent is installed, that one is used, and none is brought along.
#[test]
fn an_installed_agent_is_used() {
    let installed = tempfile::tempdir().unwrap();
    let agent = installed.path().join("evenkeel-agent");
    // It says that it was used, where nothing may be said: on standard error.
    let script = format!(
        "#!/bin/sh\necho used >>{}/used\nexec {} \"$@\"\n",
        installed.path().display(),
        programs::path("evenkeel-agent").display()
    );
    server::executable(&agent, &script);
    let Some(server) = Server::start(&format!("{}:", installed.path().display())) else { return };
    let work = tempfile::tempdir().unwrap();
    scan(&server, &["web-1"], work.path(), &[]).ok();
    assert_eq!(fs::read_to_string(installed.path().join("used")).unwrap(), "used\n");
    assert_eq!(files(work.path()), ["web-1.json"]);
}

/// Promise: an agent that fails, or prints something else, is an error with its own words, and is removed all the same.
#[test]
fn a_failing_agent_is_removed() {
    let Some(server) = Server::start("") else { return };
    let work = tempfile::tempdir().unwrap();
    let broken = work.path().join("broken");
    server::executable(&broken, "#!/bin/sh\necho 'no such machine' >&2\nexit 7\n");
    let out = work.path().join("out");
    let outcome = scan(&server, &["web-1"], &out, &["--agent", broken.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stdout.contains("the host ended it with exit code 7: no such machine"), "{outcome:#?}");
    assert_eq!(files(&out), [] as [String; 0]);
    server::executable(&broken, "#!/bin/sh\necho hello\n");
    let outcome = scan(&server, &["web-1"], &out, &["--agent", broken.to_str().unwrap()]);
    assert!(outcome.stdout.contains("what came back is no snapshot"), "{outcome:#?}");
    assert_eq!(server.left_behind(), [] as [PathBuf; 0]);
}

/// Promise: ctrl-C in the middle ends the agent on the host and removes it.
#[test]
fn an_interrupted_scan_leaves_nothing() {
    let Some(server) = Server::start("") else { return };
    let work = tempfile::tempdir().unwrap();
    let slow = work.path().join("slow");
    let started = work.path().join("started");
    server::executable(&slow, &format!("#!/bin/sh\necho $$ >{}\nexec sleep 600\n", started.display()));
    let mut command = command(&server, &["web-1"], work.path(), &["--agent", slow.to_str().unwrap()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut scan = command.spawn().unwrap();
    let agent = wait::until(|| {
        let text = fs::read_to_string(&started).map_err(|error| error.to_string())?;
        text.trim().parse::<i32>().map_err(|error| error.to_string())
    });
    assert_eq!(server.left_behind().len(), 1, "it runs from there now");
    killpg(Pid::from_raw(i32::try_from(scan.id()).unwrap()), Signal::SIGINT).unwrap();
    scan.wait().unwrap();
    wait::until(|| match server.left_behind() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?} is still there")),
    });
    wait::until(|| {
        let runs = Path::new(&format!("/proc/{agent}")).exists();
        if runs { Err(format!("the agent {agent} still runs")) } else { Ok(()) }
    });
}
