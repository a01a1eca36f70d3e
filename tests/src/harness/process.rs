//! A running program and its log. It ends with the test, and a test that fails shows the log.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::wait;

/// A running program. Its standard error goes to its log; another process may have written there before.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this process began to write.
    start: u64,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let start = file.metadata().expect("it is open").len();
        let output = File::try_clone(&file).expect("a descriptor is left");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned(), start }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far: JSON lines, and others as text.
    pub fn events(&self) -> Vec<Value> {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let own = bytes.get(usize::try_from(self.start).unwrap_or(usize::MAX)..).unwrap_or_default();
        let text = String::from_utf8_lossy(own).into_owned();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))).collect()
    }

    /// Everything logged under this event's name so far.
    pub fn logged(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits until an event of this name is logged that `fits`.
    ///
    /// # Panics
    ///
    /// When the program ends before, or the deadline passes.
    pub fn wait_for(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        wait::until(|| {
            if let Some(found) = self.logged(event).into_iter().find(&fits) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                // What was written last may have come between the two looks.
                let last = self.logged(event).into_iter().find(&fits);
                return Ok(last
                    .unwrap_or_else(|| panic!("{} ended ({status}) before it logged {event:?}", self.name)));
            }
            Err(format!("{} has not logged {event:?}", self.name))
        })
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When it runs no more.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Ends it the hard way: `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as a service manager does, and says how it went.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    ///
    /// When it is not ours.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end within the deadline.
    pub fn end(&mut self) -> ExitStatus {
        wait::until(|| self.child.try_wait().expect("it is our child").ok_or(format!("{} runs", self.name)))
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner keeps it, and shows it with a failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read(&self.log).unwrap_or_default();
            eprintln!("--- the log of {}\n{}", self.name, String::from_utf8_lossy(&log));
        }
        self.kill();
    }
}
