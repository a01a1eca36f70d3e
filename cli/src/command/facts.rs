//! `evenkeel facts`: the facts of one node.

use evenkeel_proto::report::{self as wire, GetFactsRequest};
use evenkeel_proto::{Malformed, reports, times};
use evenkeel_render::facts::{Fact, Facts as Shown, SCHEMA};
use evenkeel_runtime::exit;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Facts {
    /// The node's name or UUID
    #[arg(value_name = "NODE")]
    node: String,
    /// Only paths that match, such as 'sysctl.net.*' (quoted)
    #[arg(value_name = "GLOB")]
    glob: Option<String>,
}

pub(super) fn run(context: &Context, arguments: Facts) -> Result<u8, CliError> {
    let client = context.client()?;
    let request = GetFactsRequest { node: arguments.node, glob: arguments.glob.unwrap_or_default() };
    let answer = client.wait(client.reports().get_facts(request))?;
    let facts = answer.facts.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Shown { schema: SCHEMA.to_owned(), node: answer.node, facts })?;
    Ok(exit::DONE)
}

fn from_wire(fact: wire::Fact) -> Result<Fact, Malformed> {
    let wire::Fact { path, state, value, since } = fact;
    let state = reports::state_from_wire(state)
        .ok_or_else(|| Malformed::new("state", "not said, or not known to this version"))?;
    let since = since.map(|since| times::from_wire("since", Some(since))).transpose()?;
    Ok(Fact { path, state, value, since })
}
