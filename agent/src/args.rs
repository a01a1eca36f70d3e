//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Reports what this machine really is.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-agent", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print one snapshot of this machine; no collector needed
    Collect(Collect),
    /// Show which sources work here, what cannot be read, and why
    Check(Check),
    /// Write this machine as a small, redacted directory that can be replayed with --root
    Record(Record),
}

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The directory to take for the machine's root
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The agent's configuration file; of it only the settings of sources are used here
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `collect`.
#[derive(Debug, clap::Args)]
pub struct Collect {
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Json)]
    pub output: Output,
}

/// How a snapshot is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The file format evenkeel.snapshot/v1
    Json,
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
pub struct Record {
    /// The directory to write: new, or empty
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The host name of the recording, which also stands for everything else that is unique [default: DIR's last name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
