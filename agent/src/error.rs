//! What went wrong, and what to do about it.

use std::io::{self, Write};
use std::path::PathBuf;

use evenkeel_runtime::exit;
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::tls::TlsError;
use evenkeel_sources::host::HostError;
use evenkeel_sources::recording::RecordError;
use tonic::Code;

use crate::uplink::UplinkError;

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
    /// An argument that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The token file cannot be read.
    #[error("the token cannot be read")]
    TokenFile(#[source] FileError),
    /// The token file holds something else.
    #[error("the token file does not hold a token: ek1.… was expected")]
    Token,
    /// The state directory.
    #[error("the state directory is not usable")]
    State(#[source] FileError),
    /// This machine is a node already.
    #[error("this machine is node {node} of {environment} already")]
    Enrolled {
        /// Its id.
        node: String,
        /// Its environment.
        environment: String,
    },
    /// This machine is no node yet.
    #[error("this machine is not enrolled: there is no identity in {}", .0.display())]
    NotEnrolled(PathBuf),
    /// There was no way to the collector.
    #[error("cannot reach the collector at {address} to enrol: {obstacle}")]
    Unreached {
        /// Where it should be.
        address: String,
        /// Why.
        obstacle: String,
    },
    /// The collector did not let it in.
    #[error("enrolment at {address} failed: {}", .status.message())]
    Refused {
        /// Where.
        address: String,
        /// What it said.
        status: Box<tonic::Status>,
    },
    /// The agent that should run here is not as it should be.
    #[error("the agent is not well: {0}")]
    Unwell(String),
    /// The state directory cannot be made for another user.
    #[error("the state directory cannot be given to its user")]
    Prepare(#[source] FileError),
    /// The certificates.
    #[error(transparent)]
    Tls(TlsError),
    /// The way to the collector.
    #[error(transparent)]
    Uplink(UplinkError),
    /// The system gave no event loop or no signals.
    #[error("cannot start the event loop")]
    Runtime(#[source] io::Error),
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
            Self::Usage(_) => "See evenkeel-agent help.",
            Self::TokenFile(_) | Self::Token => {
                "Make a token on the collector's host: evenkeel token create --env ENV --token-file FILE"
            }
            Self::State(_) => {
                "Name a directory of this user with --state-dir, run as root, or stop the agent that uses it."
            }
            Self::Enrolled { .. } => "Nothing is to be done; to enrol it anew, add --again.",
            Self::NotEnrolled(_) => {
                "Enrol it: evenkeel-agent enroll --collector https://HOST:7444 --token-file FILE"
            }
            Self::Refused { status, .. } if status.message().contains("lift the ban first") => {
                "Lift the ban on the collector's host, or give the machine another name with --name."
            }
            Self::Refused { status, .. } if matches!(status.code(), Code::Unauthenticated) => {
                "Make a new token on the collector's host: evenkeel token create --env ENV --token-file FILE"
            }
            Self::Refused { status, .. } if matches!(status.code(), Code::InvalidArgument) => {
                "Correct --name, --role or --label."
            }
            Self::Refused { .. } => "See the collector's log; then enrol again.",
            Self::Unreached { .. } => {
                "See whether the collector runs, whether this is its enrolment port, and whether it made this token."
            }
            Self::Unwell(_) => "See its log, and evenkeel-agent check.",
            Self::Prepare(_) => "Run as root with CAP_CHOWN, and leave nothing else in the directory.",
            Self::Tls(_) | Self::Uplink(_) => "Enrol again: evenkeel-agent enroll --again …",
            Self::Runtime(_) => "See whether the system has descriptors and threads left.",
            Self::Output(_) => "See where the output goes: the device may be full.",
        }
    }

    /// Says it to a person. Nobody may be there to hear it.
    pub fn tell(&self, to: &mut dyn Write) {
        let _ = writeln!(to, "evenkeel-agent: {}\n{}", exit::chain(self), self.next());
    }
}
