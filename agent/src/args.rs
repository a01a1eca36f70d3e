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
    /// Make this machine a node of a collector
    Enroll(Enroll),
    /// Report to the collector until SIGTERM
    Run(Run),
    /// Write this machine as a small, redacted directory that can be replayed with --root
    Record(Record),
    /// Ask how the agent that runs here is: exit code 0, or 2 and what is wrong
    Health(Health),
    /// As root, make the state directory and give it to the user that `run` is to run as
    Prepare(Prepare),
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

/// Arguments of `enroll`.
#[derive(Debug, clap::Args)]
pub struct Enroll {
    /// Where the collector enrols
    #[arg(long, value_name = "https://HOST:7444")]
    pub collector: String,
    /// The file with the token; - for standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The role that says which nodes should look alike
    #[arg(long, default_value = "", value_parser = label)]
    pub role: String,
    /// Shown beside the node's name; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub label: Vec<(String, String)>,
    /// The node's name [default: its host name]
    #[arg(long)]
    pub name: Option<String>,
    /// Enrol although this machine is a node already
    #[arg(long)]
    pub again: bool,
    /// The agent's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the identity is kept [default: /var/lib/evenkeel-agent, or the user's state directory]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The directory to take for the machine's root
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The agent's configuration file; deploy/examples/agent.toml shows every option
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the identity is kept [default: /var/lib/evenkeel-agent, or the user's state directory]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The directory to take for the machine's root
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How often to look at everything; changes are seen when they are made [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = evenkeel_runtime::duration::parse)]
    pub interval: Option<std::time::Duration>,
}

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub struct Health {
    /// Also that the collector has acknowledged what the agent sees, not longer ago than it should
    #[arg(long)]
    pub reporting: bool,
    /// The agent's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where its state is kept [default: /var/lib/evenkeel-agent, or the user's state directory]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Arguments of `prepare`.
#[derive(Debug, clap::Args)]
pub struct Prepare {
    /// Whom to give it to, in numbers
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    pub owner: (u32, u32),
    /// Where the state is kept [default: /var/lib/evenkeel-agent]
    #[arg(long, value_name = "DIR", env = "EVENKEEL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let parsed =
        text.split_once(':').and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    parsed.ok_or_else(|| "write UID:GID, both in numbers".to_owned())
}

fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || evenkeel_runtime::label::is_label(text) {
        return Ok(text.to_owned());
    }
    Err("it is not a name of a-z, 0-9, '.', '_' and '-'".to_owned())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((label(key)?, label(value)?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
    /// `UPDATE_GOLDEN=1` writes them.
    #[test]
    fn the_manual_pages_are_those_of_the_command_line() {
        let made = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Args::command().version(None), made.path()).unwrap();
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
