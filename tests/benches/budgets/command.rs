//! What a program took, from outside: user and system time, and the most memory.
//!
//! The kernel adds the figures of all children that have ended; so each program gets a parent of its own: this
//! program, started once more, which does nothing else.

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The argument that makes this program such a parent.
pub(crate) const MEASURE: &str = "--measure";

/// What a program took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// User and system time, in seconds.
    pub(crate) cpu: f64,
    /// The most that was resident, in bytes. Not less than what its parent had: some 3 MB.
    pub(crate) peak: f64,
}

/// Runs a program with its output thrown away. `None` when there is no such program.
pub(crate) fn took(program: &[&str]) -> Option<Took> {
    let own = env::current_exe().expect("a program knows its path");
    let output = Command::new(own).arg(MEASURE).args(program).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut figures = text.split_whitespace().map(|figure| figure.parse::<f64>().ok());
    Some(Took { cpu: figures.next()??, peak: figures.next()?? * 1024.0 })
}

/// What the parent does: runs the program and says what it took.
pub(crate) fn measure(program: &[String]) -> ExitCode {
    let Some((name, arguments)) = program.split_first() else { return ExitCode::from(2) };
    let status = Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_err() {
        return ExitCode::from(2);
    }
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return ExitCode::from(2) };
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let written = writeln!(io::stdout(), "{cpu} {}", usage.max_rss());
    ExitCode::from(u8::from(written.is_err()) * 2)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit a double")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
