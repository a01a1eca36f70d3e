//! `evenkeel completions`: a completion script for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;
use evenkeel_runtime::exit;

use super::Context;
use crate::args::Args;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(context: &Context, arguments: &Completions) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Args::command(), "evenkeel", &mut script);
    context.console.print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
