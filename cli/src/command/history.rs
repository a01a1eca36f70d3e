//! `evenkeel history`: what changed, on which node, when.

use evenkeel_proto::report::{self as wire, GetHistoryRequest};
use evenkeel_proto::{Malformed, authors, reports, times};
use evenkeel_render::history::{Change, History as Shown, SCHEMA, Side};
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use crate::error::CliError;
use crate::moment;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct History {
    /// Only this node (name or UUID)
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only nodes of this environment
    #[arg(long = "env", value_name = "ENV")]
    environment: Option<String>,
    /// Only paths that match, such as 'sysctl.*' (quoted)
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
    /// Only what changed since: 2h, 7d, 2026-11-20, 2026-11-20T03:12:00Z
    #[arg(long, value_name = "TIME", value_parser = |text: &str| moment::parse(text, Timestamp::now()))]
    since: Option<Timestamp>,
}

pub(super) fn run(context: &Context, arguments: History) -> Result<u8, CliError> {
    let History { node, environment, path, since } = arguments;
    let request = GetHistoryRequest { node, environment, path, since: since.map(times::to_wire), limit: 0 };
    let client = context.client()?;
    let answer = client.wait(client.reports().get_history(request))?;
    let changes = answer.changes.into_iter().map(from_wire).collect::<Result<_, _>>()?;
    context.console.show(&mut Shown { schema: SCHEMA.to_owned(), changes, more: answer.more })?;
    Ok(exit::DONE)
}

pub(super) fn from_wire(change: wire::Change) -> Result<Change, Malformed> {
    let wire::Change { at, journal, node, environment, path, before_state, before, after_state, after, by } =
        change;
    let side = |field, state, value| {
        let state = reports::state_from_wire(state)
            .ok_or_else(|| Malformed::new(field, "not said, or not known to this version"))?;
        Ok(Side { state, value })
    };
    Ok(Change {
        at: times::from_wire("at", at)?,
        by: by.map(|by| authors::of_change_from_wire(&path, by)),
        journal,
        node,
        environment,
        path,
        before: side("before_state", before_state, before)?,
        after: side("after_state", after_state, after)?,
    })
}
