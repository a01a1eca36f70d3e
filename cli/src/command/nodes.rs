//! `evenkeel nodes`: the nodes, as the collector knows them.

use evenkeel_proto::report::{self as wire, ListNodesRequest};
use evenkeel_proto::{Malformed, times};
use evenkeel_render::nodes::{Node, Nodes as Shown, SCHEMA};
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Nodes {
    /// Only nodes of this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Also those that were evicted or banned
    #[arg(long)]
    left: bool,
}

pub(super) fn run(context: &Context, arguments: Nodes) -> Result<u8, CliError> {
    let client = context.client()?;
    let name = arguments.name.unwrap_or_default();
    let mut shown = Shown { schema: SCHEMA.to_owned(), as_of: Timestamp::now(), nodes: Vec::new() };
    let mut page_token = String::new();
    loop {
        let request = ListNodesRequest { name: name.clone(), page_token, left: arguments.left };
        let page = client.wait(client.reports().list_nodes(request))?;
        for node in page.nodes {
            shown.nodes.push(from_wire(node)?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    context.console.show(&mut shown)?;
    Ok(exit::DONE)
}

fn from_wire(node: wire::Node) -> Result<Node, Malformed> {
    let wire::Node {
        id,
        name,
        environment,
        role,
        fresh,
        last_seen,
        last_changed,
        enrolled,
        agent,
        facts,
        unreadable,
        labels,
        standing,
        holders,
    } = node;
    let time = |field, time: Option<_>| time.map(|time| times::from_wire(field, Some(time))).transpose();
    Ok(Node {
        id,
        name,
        environment,
        role,
        fresh,
        last_seen: time("last_seen", last_seen)?,
        last_changed: time("last_changed", last_changed)?,
        enrolled: time("enrolled", enrolled)?,
        agent,
        facts,
        unreadable,
        labels: labels.into_iter().collect(),
        standing,
        holders,
    })
}
