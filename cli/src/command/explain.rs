//! `evenkeel explain`: everything about one finding or fact.

use evenkeel_drift::Explanation;
use evenkeel_proto::report::ExplainRequest;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// A finding's id (f-…), or a fact's path
    #[arg(value_name = "FINDING|PATH")]
    subject: String,
}

pub(super) fn run(context: &Context, arguments: Explain) -> Result<u8, CliError> {
    let client = context.client()?;
    let request = ExplainRequest { subject: arguments.subject };
    let answer = client.wait(client.reports().explain(request))?;
    context.console.show(&serde_json::from_str::<Explanation>(&answer.json)?)?;
    Ok(evenkeel_runtime::exit::DONE)
}
