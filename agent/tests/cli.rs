//! The program as a person meets it: exit codes, messages, pipes.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use evenkeel_facts::snapshot_file;
use tempfile::TempDir;

fn agent() -> Command {
    Command::new(env!("CARGO_BIN_EXE_evenkeel-agent"))
}

/// Exit code and stderr, with the path of a temporary directory as DIR.
fn said(output: &Output, directory: &Path) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), text.replace(directory.to_str().unwrap(), "DIR"))
}

#[test]
fn a_recorded_host_is_collected_under_its_name() {
    let directory = TempDir::new().unwrap();
    let host = directory.path().join("web-1");
    let recorded = agent().arg("record").arg(&host).output().unwrap();
    assert_eq!(said(&recorded, directory.path()), (Some(0), String::new()));
    let text = String::from_utf8(recorded.stdout).unwrap();
    assert!(text.starts_with("Recorded as web-1: "), "{text}");
    let collected = agent().args(["collect", "-o", "json", "--root"]).arg(&host).output().unwrap();
    assert_eq!(said(&collected, directory.path()), (Some(0), String::new()));
    assert_eq!(snapshot_file::from_json(&collected.stdout).unwrap().host, "web-1");
}

#[test]
fn errors_say_what_where_why_and_what_next() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("agent.toml"), "[sources]\ndisabled = [\"os\"]\n").unwrap();
    for (arguments, expected) in [
        (
            vec!["collect".into(), "--root".into(), path("nowhere")],
            "evenkeel-agent: cannot open the root directory DIR/nowhere: No such file or directory (os error 2)\n\
             Give --root a directory that this user can open.\n",
        ),
        (
            vec!["record".into(), directory.path().into()],
            "evenkeel-agent: cannot record the machine: DIR is not empty: a recording needs a directory of its own\n\
             Name a directory that does not exist yet.\n",
        ),
        (
            vec!["check".into(), "--config".into(), path("missing.toml")],
            "evenkeel-agent: cannot read DIR/missing.toml: No such file or directory (os error 2)\n\
             Correct the file, or leave --config away for the defaults.\n",
        ),
    ] {
        let output = agent().args(&arguments).output().unwrap();
        assert_eq!(said(&output, directory.path()), (Some(2), expected.to_owned()));
        assert!(output.stdout.is_empty());
    }
    let output = agent().args(["check", "--config"]).arg(path("agent.toml")).output().unwrap();
    let (code, text) = said(&output, directory.path());
    assert_eq!(code, Some(2));
    for part in ["DIR/agent.toml", "unknown field `disabled`", "line 2", "did you mean `disable`?"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_disabled_source_does_not_run() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("agent.toml");
    std::fs::write(&config, "[sources]\ndisable = [\"sysctl\", \"go_programs\"]\n").unwrap();
    let output = agent().args(["collect", "--config"]).arg(&config).output().unwrap();
    let snapshot = snapshot_file::from_json(&output.stdout).unwrap();
    assert!(snapshot.sections.iter().any(|section| section.source() == "os"));
    assert!(!snapshot.sections.iter().any(|section| section.source() == "sysctl"));
    let output = agent().args(["check", "--config"]).arg(&config).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("sysctl ")).unwrap_or_default();
    assert_eq!(
        line.split_once(' ').map(|(_, rest)| rest.trim()),
        Some("disabled by the configuration"),
        "{text}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = agent().arg("collect").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
