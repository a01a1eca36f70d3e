//! One program of a person's own, run once.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_facts::Reason;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often to look whether a program that has closed its output has ended.
const PAUSE: Duration = Duration::from_millis(2);

/// What it prints. It fails with another exit code than 0; at the deadline, or when it says too much, it is killed, and
/// so is whatever it has started in its process group.
pub(super) fn run(path: &Path, timeout: Duration, limit: usize) -> Result<String, Reason> {
    let deadline = Instant::now() + timeout;
    let started = Command::new(path)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut group = Group(started.map_err(|error| Reason::of_io(&error).unwrap_or(Reason::Io))?);
    let stdout = group.0.stdout.take().ok_or(Reason::Io)?;
    let (said, heard) = channel();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.take(limit as u64 + 1).read_to_end(&mut text);
        // Nobody listens any more behind the deadline.
        let _ = said.send(read.map(|_| text));
    });
    let outcome = heard.recv_timeout(timeout);
    let outcome = match outcome {
        Ok(Ok(text)) if text.len() > limit => Err(Reason::Truncated),
        Ok(Ok(text)) => {
            group.end(deadline).and_then(|()| String::from_utf8(text).map_err(|_| Reason::Malformed))
        }
        Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(Reason::Io),
        Err(RecvTimeoutError::Timeout) => Err(Reason::Timeout),
    };
    drop(group);
    // With the whole group dead nobody holds the pipe; a program that left its group may, and is not waited for.
    if outcome.is_ok() {
        let _ = reader.join();
    }
    outcome
}

/// A program and all that it has started; they end with it.
struct Group(Child);

impl Group {
    /// Waits for its end, until the deadline.
    fn end(&mut self, deadline: Instant) -> Result<(), Reason> {
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return if status.success() { Ok(()) } else { Err(Reason::Failed) },
                Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
                Ok(None) => return Err(Reason::Timeout),
                Err(_) => return Err(Reason::Io),
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            // The group's number stays taken as long as one of it is alive; else this is an error, and no harm.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}
