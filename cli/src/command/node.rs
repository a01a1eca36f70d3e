//! `evenkeel node`: nodes are sent away, and let back.

use evenkeel_proto::admin::{BanNodeRequest, EvictNodeRequest, LeftNode, UnbanNodeRequest};
use evenkeel_render::text::escape;
use evenkeel_runtime::exit;

use super::Context;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Node {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, clap::Subcommand)]
enum NodeCommand {
    /// Send a node away: its certificate is refused at once; it may come back by enrolling again
    Evict(Away),
    /// Send a node away for good: its key, and its name in its environment, are refused until the ban is lifted
    Ban(Away),
    /// Lift a ban: the machine may enrol again, as a new node
    Unban(Back),
}

#[derive(Debug, clap::Args)]
struct Away {
    /// The node's name or UUID
    #[arg(value_name = "NODE")]
    node: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Back {
    /// The banned node's name or UUID
    #[arg(value_name = "NODE")]
    node: String,
}

pub(super) fn run(context: &Context, arguments: Node) -> Result<u8, CliError> {
    let client = context.client()?;
    let (left, what) = match arguments.command {
        NodeCommand::Evict(Away { node, reason }) => {
            let answer = client.wait(client.admin().evict_node(EvictNodeRequest { node, reason }))?;
            (answer.node, "is evicted: its certificate is refused. It may enrol again, with a new token.")
        }
        NodeCommand::Ban(Away { node, reason }) => {
            let answer = client.wait(client.admin().ban_node(BanNodeRequest { node, reason }))?;
            (
                answer.node,
                "is banned: its key, and its name in its environment, are refused until the ban is lifted.",
            )
        }
        NodeCommand::Unban(Back { node }) => {
            let answer = client.wait(client.admin().unban_node(UnbanNodeRequest { node }))?;
            (answer.node, "is banned no more: the machine may enrol again, with a new token.")
        }
    };
    let LeftNode { id, name, environment } = left.unwrap_or_default();
    context.console.note(&format!("{} ({} of {}) {what}", escape(&name), escape(&id), escape(&environment)));
    Ok(exit::DONE)
}
