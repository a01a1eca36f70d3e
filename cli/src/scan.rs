//! One host, looked at over the user's own `ssh`: nothing is installed there and nothing is left behind.

mod agent;

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evenkeel_facts::snapshot_file::MAX_FILE_BYTES;
use evenkeel_facts::{Snapshot, snapshot_file};
use evenkeel_runtime::exit;

pub use agent::{Agent, AgentError};

/// What the host is told to do.
const SCRIPT: &str = include_str!("scan/remote.sh");
/// What the script's own lines begin with; login scripts may print others before.
const MARK: &str = "evenkeel-scan ";
/// So much of what a host says on standard error is kept, in bytes.
const MAX_ERROR_BYTES: u64 = 16 * 1024;

/// How to look.
#[derive(Debug, Clone)]
pub struct Way {
    /// The program and its first arguments: `ssh`, `ssh -F FILE`.
    pub ssh: Vec<String>,
    /// Look as root, through `sudo -n`.
    pub sudo: bool,
    /// Bring the agent along even where one is installed.
    pub own_agent: bool,
    /// When to give a host up.
    pub timeout: Duration,
}

/// Why a host could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no such program here.
    #[error("cannot run {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// ssh or the host ended it.
    #[error("{status}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Ended {
        /// How.
        status: String,
        /// What was said last on standard error.
        said: Option<String>,
    },
    /// It took too long.
    #[error("no snapshot within {} seconds", .0.as_secs())]
    Slow(Duration),
    /// The host has no directory in which a program can be run.
    #[error(
        "no agent is installed, and there is no directory to run one from (/tmp, /dev/shm and the home directory are not writable, or noexec)"
    )]
    Nowhere,
    /// No agent to bring along, or one for other machines.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// What came is no snapshot.
    #[error("what came back is no snapshot")]
    Snapshot(#[from] snapshot_file::SnapshotFileError),
}

/// Looks at one host.
pub fn look(host: &str, way: &Way, agent: &Agent) -> Result<Snapshot, ScanError> {
    let [program, first @ ..] = &way.ssh[..] else {
        return Err(ScanError::Start { program: String::new(), source: io::ErrorKind::NotFound.into() });
    };
    let mut command = Command::new(program);
    command.args(first).arg("--").arg(host).arg(script(way, agent));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = |source| ScanError::Start { program: program.clone(), source };
    let mut child = command.spawn().map_err(start)?;
    let outcome = talk(&mut child, way, agent);
    if outcome.is_err() {
        // Its end is how the host learns that nobody waits.
        let _ = child.kill();
    }
    let status = child.wait().map_err(start)?;
    let (json, said) = match outcome {
        Ok(Answer { json, said }) => (json, said),
        Err(error) => return Err(error),
    };
    if !status.success() {
        return Err(ended(status, &said));
    }
    Ok(snapshot_file::from_json(&json)?)
}

/// The host's part, as one line for whatever shell the user has there.
fn script(way: &Way, agent: &Agent) -> String {
    let lines = SCRIPT.lines().filter(|line| !line.starts_with('#'));
    let script = lines.collect::<Vec<_>>().join(" ");
    let script = script
        .replace("SIZE", &agent.size().to_string())
        .replace("SUDO", if way.sudo { "sudo -n" } else { "" })
        .replace("MODE", if way.own_agent { "own" } else { "any" });
    format!("exec sh -c '{script}'")
}

struct Answer {
    json: Vec<u8>,
    said: String,
}

/// Brings the agent if it is needed, and takes the snapshot. An error of the host itself is told by how ssh ends.
fn talk(child: &mut Child, way: &Way, agent: &Agent) -> Result<Answer, ScanError> {
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        unreachable!("all three are piped")
    };
    let said = reader(errors, MAX_ERROR_BYTES);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let first = first_line(&mut output);
        let _ = send.send(first.into_bytes());
        let mut json = Vec::new();
        let _ = output.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut json);
        let _ = send.send(json);
    });
    let slow = |_| ScanError::Slow(way.timeout);
    let first = lines.recv_timeout(way.timeout).map_err(slow)?;
    let first = String::from_utf8_lossy(&first).into_owned();
    match first.split_once(' ').unwrap_or((&first, "")) {
        ("nowhere", _) => return Err(ScanError::Nowhere),
        ("need", machine) => {
            // When the host hangs up meanwhile, how ssh ends says why.
            let _ = input.write_all(agent.program_for(machine)?).and_then(|()| input.flush());
        }
        _ => {}
    }
    let json = lines.recv_timeout(way.timeout).map_err(slow)?;
    drop(input);
    let said = said.recv_timeout(way.timeout).map_err(slow)?;
    Ok(Answer { json, said: String::from_utf8_lossy(&said).into_owned() })
}

/// Reads to the end, but keeps no more than this.
fn reader(mut from: impl Read + Send + 'static, limit: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.by_ref().take(limit).read_to_end(&mut bytes);
        let _ = io::copy(&mut from, &mut io::sink());
        let _ = send.send(bytes);
    });
    receive
}

/// The script's first line, without its mark; empty when it never came.
fn first_line(output: &mut impl io::BufRead) -> String {
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return String::new(),
            Ok(_) => {}
        }
        if let Some(rest) = String::from_utf8_lossy(&line).trim_end().strip_prefix(MARK) {
            return rest.to_owned();
        }
    }
}

fn ended(status: ExitStatus, said: &str) -> ScanError {
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let status = match status.code() {
        // ssh's own.
        Some(255) => "ssh failed".to_owned(),
        Some(code) => format!("the host ended it with exit code {code}"),
        None => "ssh was ended".to_owned(),
    };
    ScanError::Ended { status, said: last.map(str::to_owned) }
}

/// The error and what led to it, in one line.
pub fn why(error: &ScanError) -> String {
    exit::chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script is one word of a shell: it may hold no single quote, and no line of it may be lost.
    #[test]
    fn the_script_is_one_word() {
        let way =
            Way { ssh: vec!["ssh".into()], sudo: true, own_agent: false, timeout: Duration::from_secs(1) };
        let script = script(&way, &Agent::none());
        let inner = script.strip_prefix("exec sh -c '").unwrap().strip_suffix('\'').unwrap();
        assert!(!inner.contains(['\'', '\n']), "{inner}");
        assert!(!inner.contains("SIZE") && !inner.contains("SUDO") && !inner.contains("MODE"), "{inner}");
        let parsed = Command::new("sh").args(["-n", "-c", inner]).status().unwrap();
        assert!(parsed.success(), "{inner}");
    }

    #[test]
    fn what_login_scripts_print_is_passed_over() {
        let mut output = BufReader::new(&b"Welcome!\nevenkeel-scan need x86_64\n{}"[..]);
        assert_eq!(first_line(&mut output), "need x86_64");
        assert_eq!(first_line(&mut BufReader::new(&b"no such host\n"[..])), "");
    }
}
