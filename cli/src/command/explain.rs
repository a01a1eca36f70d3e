//! `evenkeel explain`: everything about one finding or fact.

use evenkeel_drift::report::Kind;
use evenkeel_drift::{Explanation, Values};
use evenkeel_proto::report::{ExplainRequest, GetHistoryRequest, GetValuesRequest};
use evenkeel_render::explanation::Explained;

use super::{Context, history};
use crate::client::Client;
use crate::error::CliError;

/// So many of the newest changes are shown.
const CHANGES: u32 = 10;

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
    let explanation: Explanation = serde_json::from_str(&answer.json)?;
    let path = explanation.path.clone();
    // Of a thing (`go.program[x]`) every fact of it.
    let glob = if path.ends_with(']') { format!("{path}*") } else { path.clone() };
    let request = GetHistoryRequest { path: Some(glob), limit: CHANGES, ..GetHistoryRequest::default() };
    let history = client.wait(client.reports().get_history(request))?;
    let changes = history.changes.into_iter().map(history::from_wire).collect::<Result<_, _>>()?;
    let (mut next_boot, mut set_in) = (None, None);
    if let Some(key) = path.strip_prefix("sysctl.") {
        set_in = persisted(&client, key, "source")?;
        if explanation.findings.iter().any(|finding| finding.kind == Kind::Latent) {
            next_boot = persisted(&client, key, "value")?;
        }
    }
    context.console.show(&mut Explained { explanation, changes, next_boot, set_in })?;
    Ok(evenkeel_runtime::exit::DONE)
}

/// What the files of sysctl.d say of a key, if any node knows it: the `value`, or the `source`, as `FILE:LINE`.
pub(super) fn persisted(client: &Client, key: &str, what: &str) -> Result<Option<Values>, CliError> {
    let request = GetValuesRequest { path: format!("sysctl.persisted[{key}].{what}") };
    match client.wait(client.reports().get_values(request)) {
        Ok(answer) => Ok(Some(serde_json::from_str(&answer.json)?)),
        // No node knows one, or the collector is older than the question.
        Err(CliError::Asked { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
