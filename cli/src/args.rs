//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use evenkeel_drift::report::Severity;
use evenkeel_runtime::label::is_label;

use crate::command::{
    accept, affected, audit, baseline, completions, context, diff, explain, facts, fix, gate, history, login,
    node, nodes, policy, report, scan, token, user, values, watch,
};

/// Shows where environments differ, on which nodes, since when, and why it matters.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 consistent (or done), 1 drift (gate; report and diff with --exit-code), 2 error, 3 cannot tell."
)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where the environments differ
    Report(report::Report),
    /// Hold one thing against another: environments, nodes, snapshot files
    Diff(diff::Diff),
    /// Show everything about one finding or fact: who has what, and which rule decides
    Explain(explain::Explain),
    /// Print what mends a finding: commands, a file, an Ansible task; nothing is run
    Fix(fix::Fix),
    /// Show one fact's values over the fleet
    Values(values::Values),
    /// List the nodes
    Nodes(nodes::Nodes),
    /// List the facts of one node
    Facts(facts::Facts),
    /// Show what changed, on which node, when
    History(history::History),
    /// Say by exit code whether one environment may be promoted to another
    Gate(gate::Gate),
    /// Show where the versions are that an advisory names
    Affected(affected::Affected),
    /// Follow findings as they open, change and end
    Watch(watch::Watch),
    /// Sign off what is known: with an owner, a reason and an end
    Accept(accept::Accept),
    /// List what is signed off
    Accepted(accept::Accepted),
    /// End a sign-off: what it covered is open again
    Unaccept(accept::Unaccept),
    /// Keep what an environment is under a name, to hold others against it
    Baseline(baseline::Baseline),
    /// Check, show and apply the policy that decides what is drift
    Policy(policy::Policy),
    /// Take snapshots of hosts over your own ssh: no collector, nothing installed
    Scan(scan::Scan),
    /// Let nodes in: make, list and revoke the tokens with which they enrol
    Token(token::Token),
    /// Send nodes away, and let them back
    Node(node::Node),
    /// Let people in from elsewhere, and send them away
    User(user::User),
    /// Get a certificate from a collector elsewhere, for eight hours; the first time with an invitation
    Login(login::Login),
    /// Choose among the collectors that you have logged in to
    Context(context::ContextCommand),
    /// Show what was done to the collector, by whom, when
    Audit(audit::Audit),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// What holds for every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How output looks
    #[command(flatten)]
    pub looks: Looks,
    /// Where the collector is
    #[command(flatten)]
    pub connection: Connection,
}

/// How output looks.
#[derive(Debug, clap::Args)]
pub struct Looks {
    /// How to show it: table, wide, json, csv, markdown, html, junit, sarif; FORMAT=FILE goes to a file [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT[=FILE]")]
    pub output: Vec<String>,
    /// When to colour; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, value_name = "auto|always|never", hide_possible_values = true, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Where the collector is. Without any of these: the current context; without one: the socket of the collector on this
/// host.
#[derive(Debug, Default, clap::Args)]
pub struct Connection {
    /// The collector's data directory, if it runs on this host [env: EVENKEEL_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The collector on another host: https://HOST:7443 [env: EVENKEEL_COLLECTOR]
    #[arg(long, global = true, value_name = "URL")]
    pub collector: Option<String>,
    /// The context, if not the current one [env: EVENKEEL_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", value_parser = label)]
    pub context: Option<String>,
    /// With --collector: your certificate (PEM) [env: EVENKEEL_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// With --collector: its key (PEM) [env: EVENKEEL_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// With --collector: the roots to trust (PEM) [env: EVENKEEL_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Reads the name of a user, an environment, a context.
pub fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 253 of a-z, 0-9, '.', '_' and '-'".to_owned())
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything that differs
    Info,
    /// Worth a look before the next promotion
    Warning,
    /// Breaks things
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Critical => Self::Critical,
        }
    }
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
