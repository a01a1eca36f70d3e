//! `evenkeel values`: one fact's values over the fleet.

use evenkeel_proto::report::GetValuesRequest;
use evenkeel_runtime::exit;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Values {
    /// The fact's path, such as go.version
    #[arg(value_name = "PATH")]
    path: String,
}

pub(super) fn run(context: &Context, arguments: Values) -> Result<u8, CliError> {
    let client = context.client()?;
    let answer = client.wait(client.reports().get_values(GetValuesRequest { path: arguments.path }))?;
    context.console.show(&mut serde_json::from_str::<evenkeel_drift::Values>(&answer.json)?)?;
    Ok(exit::DONE)
}
