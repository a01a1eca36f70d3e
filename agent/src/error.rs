//! What went wrong, and what to do about it.

use std::io::{self, Write};

use evenkeel_runtime::exit;
use evenkeel_runtime::files::FileError;
use evenkeel_sources::host::HostError;
use evenkeel_sources::recording::RecordError;

/// Why a command of the agent failed. The text says what was tried, where, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration file cannot be used.
    #[error(transparent)]
    Config(FileError),
    /// The directory cannot stand for a machine.
    #[error(transparent)]
    Host(HostError),
    /// The recording cannot be made.
    #[error("cannot record the machine")]
    Record(#[source] RecordError),
    /// What was asked for cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

impl AgentError {
    /// What to do next.
    pub fn next(&self) -> &'static str {
        match self {
            Self::Config(_) => "Correct the file, or leave --config away for the defaults.",
            Self::Host(HostError::Open { .. }) => "Give --root a directory that this user can open.",
            Self::Host(HostError::NoContainment { .. }) => "Leave --root away, or use a newer kernel.",
            Self::Host(HostError::Refusals { .. }) => "Record the host again.",
            Self::Record(RecordError::NotEmpty(_)) => "Name a directory that does not exist yet.",
            Self::Record(RecordError::Write { .. }) => "Name a directory that this user can write to.",
            Self::Record(RecordError::Replay(_)) => "See whether something else changes the directory.",
            Self::Output(_) => "See where the output goes: the device may be full.",
        }
    }

    /// Says it to a person. Nobody may be there to hear it.
    pub fn tell(&self, to: &mut dyn Write) {
        let _ = writeln!(to, "evenkeel-agent: {}\n{}", exit::chain(self), self.next());
    }
}
