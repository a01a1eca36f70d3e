//! Scripts in, transcripts out. Each file in `tests/transcripts` is both: lines that begin with `$ ` are run in
//! `tests/snapshots`, comments (`#`) are kept, everything else is what came out. `UPDATE_GOLDEN=1` rewrites it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs one `evenkeel …` line: standard output, then standard error, then the exit code unless it is 0.
fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("evenkeel"), "only evenkeel is run: {line}");
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots"))
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut out = String::from_utf8(output.stdout).unwrap();
    out.push_str(&String::from_utf8(output.stderr).unwrap());
    match output.status.code() {
        Some(0) => {}
        code => out.extend(["[exit code ", &code.expect("not killed").to_string(), "]\n"]),
    }
    out
}

fn transcript(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let kept = fs::read_to_string(&path).unwrap();
    let mut now = String::new();
    for line in kept.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            now.extend([line, "\n", &run(command), "\n"]);
        } else if line.starts_with("# ") {
            now.extend([line, "\n"]);
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
        return;
    }
    assert!(kept == now, "{name} differs (UPDATE_GOLDEN=1 rewrites it). Now:\n{now}");
}

#[test]
fn diff_of_files() {
    transcript("diff.txt");
}

#[test]
fn gate_of_files() {
    transcript("gate.txt");
}

#[test]
fn snapshot_files() {
    transcript("files.txt");
}

#[test]
fn errors() {
    transcript("errors.txt");
}

#[test]
fn help() {
    transcript("help.txt");
}

/// A reader that goes away before anything is written has what it wanted.
#[test]
fn a_closed_pipe_is_success() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}
