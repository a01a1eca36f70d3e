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
    /// The certificate authority of the collector that runs here
    Ca(Ca),
    /// Write everything that the collector is into one new file, also while it runs
    Backup(Backup),
    /// Make a data directory of a backup
    Restore(Backup),
    /// Look at everything that the data directory, or a backup, holds
    Check(Check),
    /// Ask the collector that runs here whether it can serve and write: exit code 0, or 2 and why not
    Health(Health),
}

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// The configuration file that it runs with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it says how it is [default: as `run` does]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
}

impl Health {
    /// Where to ask.
    pub fn resolve(self) -> Result<SocketAddr, FileError> {
        let config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        Ok(self.http_listen.unwrap_or(config.http_listen))
    }
}

/// Arguments of `backup` and `restore`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The backup
    pub file: PathBuf,
    /// Where the collector keeps its data [default: as `run` does]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A backup; without it the data directory is looked at
    pub file: Option<PathBuf>,
    /// Where the collector keeps its data [default: as `run` does]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `ca`.
#[derive(Debug, Args)]
pub struct Ca {
    /// What to do.
    #[command(subcommand)]
    pub command: CaCommand,
    /// Where the collector keeps its data [default: as `run` does]
    #[arg(long, global = true, value_name = "DIR", env = "EVENKEEL_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What to do with the authority.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CaCommand {
    /// Show its generations, what comes next, and which nodes have not followed yet
    Status,
    /// Print the roots below which the collector's certificate is believed, as PEM
    Roots,
    /// Take the next step of a rotation: prepare a new generation, activate it, retire the old one
    Rotate {
        /// Also when nodes would be left behind: they must be enrolled again
        #[arg(long)]
        force: bool,
    },
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// `UPDATE_GOLDEN=1` writes them.
    #[test]
    fn the_manual_pages_are_those_of_the_command_line() {
        let made = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Arguments::command().version(None), made.path()).unwrap();
        let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/man");
        for page in std::fs::read_dir(made.path()).unwrap() {
            let page = page.unwrap();
            let (text, kept) = (std::fs::read_to_string(page.path()).unwrap(), kept.join(page.file_name()));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&kept, &text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&kept).unwrap_or_default(), text, "{}", kept.display());
        }
    }
}
