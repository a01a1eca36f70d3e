//! The agent of one node: reports what the node really is, and never decides what drift is.
//!
//! # Layout
//!
//! - [`args`]: the command line
//! - [`config`]: the configuration file
//! - [`error`]: what went wrong, and what to do about it
//! - [`collect`]: one snapshot on stdout, no collector needed
//! - [`check`]: which sources work here, what cannot be read, and why
//! - [`enroll`]: this machine becomes a node
//! - [`credentials`]: what it shows the collector
//! - [`daemon`]: look where something happened, and everywhere from time to time; report
//! - [`watch`]: what happens on the machine, told by the kernel
//! - [`settle`]: news wait a moment until they are complete
//! - [`packages_lock`]: whether a package manager is at work
//! - [`status`]: how the daemon is, for `check` and `health`; [`health`]: whether that is as it should be
//! - [`looker`]: looks at the machine, on a thread of its own
//! - [`delivery`]: what is to be delivered, and what the collector is known to hold
//! - [`conversation`]: what is said until it is acknowledged
//! - [`uplink`]: the way to the collector
//! - [`link`]: its connection: kept open, hung up, reopened
//! - [`home`]: the state directory; [`prepare`]: it is made for another user
//! - [`record`]: this machine as a small, redacted, replayable test host

pub mod args;
pub mod check;
pub mod collect;
pub mod config;
pub mod conversation;
pub mod credentials;
pub mod daemon;
pub mod delivery;
pub mod enroll;
pub mod error;
pub mod health;
pub mod home;
pub mod link;
pub mod looker;
pub mod packages_lock;
pub mod prepare;
pub mod record;
pub mod settle;
pub mod status;
pub mod uplink;
pub mod watch;

use std::io::Write;

use args::{Args, Command};
use config::AgentConfig;
use error::AgentError;
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::{heaps, logging};

/// Runs one command. What it has to say goes to `out`.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), AgentError> {
    let text = match &args.command {
        Command::Collect(args) => collect::run(args)?,
        Command::Check(args) => check::run(args)?,
        Command::Enroll(args) => enroll::run(args)?,
        Command::Run(args) => return start(args),
        Command::Record(args) => record::run(args)?,
        Command::Health(args) => health::run(args)?,
        Command::Prepare(args) => prepare::run(args)?,
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(AgentError::Output)
}

/// Runs the daemon on one thread: it mostly waits.
fn start(args: &args::Run) -> Result<(), AgentError> {
    let mut config = AgentConfig::load(args.config.as_deref())?;
    config.state_dir = args.state_dir.clone().unwrap_or(config.state_dir);
    config.root = args.root.clone().unwrap_or(config.root);
    config.interval = args.interval.unwrap_or(config.interval);
    config.check().map_err(AgentError::Usage)?;
    heaps::one_small();
    logging::init("evenkeel-agent");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::Runtime)?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(AgentError::Runtime)?;
        daemon::run(config, shutdown).await
    });
    // A sweep that hangs in the kernel must not hold the end.
    runtime.shutdown_background();
    result
}
