//! The agent of one node: reports what the node really is, and never decides what drift is.
//!
//! # Layout
//!
//! - [`args`]: the command line
//! - [`config`]: the configuration file
//! - [`error`]: what went wrong, and what to do about it
//! - [`collect`]: one snapshot on stdout, no collector needed
//! - [`check`]: which sources work here, what cannot be read, and why
//! - [`record`]: this machine as a small, redacted, replayable test host

pub mod args;
pub mod check;
pub mod collect;
pub mod config;
pub mod error;
pub mod record;

use std::io::Write;

use args::{Args, Command};
use error::AgentError;

/// Runs one command. What it has to say goes to `out`.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), AgentError> {
    let text = match &args.command {
        Command::Collect(args) => collect::run(args)?,
        Command::Check(args) => check::run(args)?,
        Command::Record(args) => record::run(args)?,
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(AgentError::Output)
}
