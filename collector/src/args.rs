//! The arguments.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use evenkeel_runtime::files::FileError;

use crate::config::Config;

/// Collects what agents see, compares the environments, and serves the reports.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-collector", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the collector until SIGTERM
    Run(Run),
}

/// Everything that overrides the configuration file.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file; deploy/examples/collector.toml shows every option
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys, certificates and the journal live
    #[arg(long, value_name = "DIR", env = "EVENKEEL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Agents and people, over mutual TLS [default: 0.0.0.0:7443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Enrolment [default: 0.0.0.0:7444]
    #[arg(long, value_name = "ADDRESS")]
    enroll_listen: Option<SocketAddr>,
    /// Health and metrics, in the clear [default: 127.0.0.1:7480]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
}

impl Run {
    /// The configuration that these arguments mean.
    pub fn resolve(self) -> Result<Config, FileError> {
        let mut config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        let Self { config: _, data_dir, listen, enroll_listen, http_listen } = self;
        config.data_dir = data_dir.unwrap_or(config.data_dir);
        config.listen = listen.unwrap_or(config.listen);
        config.enroll_listen = enroll_listen.unwrap_or(config.enroll_listen);
        config.http_listen = http_listen.unwrap_or(config.http_listen);
        Ok(config)
    }
}
