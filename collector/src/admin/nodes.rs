//! Nodes that are sent away, and let back.

use evenkeel_proto::admin::LeftNode;
use evenkeel_store::Entry;
use evenkeel_store::entry::{NodeLeft, NodeUnbanned};
use tonic::Status;
use tracing::info;
use uuid::Uuid;

use super::{Actor, Admin};
use crate::access::Peer;
use crate::ledger::{Decision, Key};
use crate::query;
use crate::state::{Left, NodeState, State};

/// The longest reason, in bytes.
const MAX_REASON: usize = 1024;

impl Admin {
    /// Evicts or bans. The state refuses the node's next call; connections that are open are closed besides.
    pub(super) async fn send_away(
        &self,
        name: &str,
        banned: bool,
        reason: String,
        Actor { by, scope }: Actor,
    ) -> Result<LeftNode, Status> {
        if reason.len() > MAX_REASON {
            return Err(Status::invalid_argument(format!("a reason has at most {MAX_REASON} bytes")));
        }
        let node = {
            let state = self.ledger.state();
            let is_seen = |left: &&Left| scope.includes(&left.environment);
            match Uuid::parse_str(name).ok().and_then(|id| state.left_node(id)).filter(is_seen) {
                // Only a ban adds anything to what is gone.
                Some(left) if banned => of_left(left),
                Some(left) => return Err(Status::failed_precondition(left.sentence())),
                None => of_member(query::one_node(&state, &scope, name)?),
            }
        };
        scope.check(&node.environment)?;
        let id = Uuid::parse_str(&node.id).unwrap_or_default();
        let entry = Entry::NodeLeft(NodeLeft { node: id, banned, reason, by });
        let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
        let left = self.ledger.change(Key::Node(id), decide).await;
        left.map_err(|error| Status::unavailable(error.to_string()))?;
        if banned {
            self.tending.forget_sessions();
        }
        let closed = self.open.close(|peer| matches!(peer, Peer::Node { id: other, .. } if *other == id));
        info!(node = node.id, name = node.name, banned, closed, "Node was sent away.");
        Ok(node)
    }

    pub(super) async fn lift_ban(&self, name: &str, Actor { by, scope }: Actor) -> Result<LeftNode, Status> {
        let (id, node) = {
            let state = self.ledger.state();
            let id = Uuid::parse_str(name).ok();
            let is_named = |left: &&Left| left.name == name || Some(left.id) == id;
            let banned = state.left().filter(|left| left.banned && scope.includes(&left.environment));
            match banned.filter(is_named).collect::<Vec<_>>().as_slice() {
                [] => {
                    let sentence = format!("no node {name:?} is banned: see evenkeel nodes --left");
                    return Err(Status::not_found(sentence));
                }
                [left] => (left.id, of_left(left)),
                several => {
                    let ids: Vec<_> =
                        several.iter().map(|left| format!("{} ({})", left.id, left.environment)).collect();
                    return Err(Status::invalid_argument(format!(
                        "{} banned nodes are called {name:?}; name one by its id: {}",
                        ids.len(),
                        ids.join(", ")
                    )));
                }
            }
        };
        let entry = Entry::NodeUnbanned(NodeUnbanned { node: id, by });
        let decide = move |_: &State| Decision { entries: vec![entry], sections: vec![], answer: () };
        let lifted = self.ledger.change(Key::Node(id), decide).await;
        lifted.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(node)
    }
}

fn of_member(node: &NodeState) -> LeftNode {
    let (id, name) = (node.id.to_string(), node.view.name.to_string());
    LeftNode { id, name, environment: node.environment.to_string() }
}

fn of_left(Left { id, name, environment, .. }: &Left) -> LeftNode {
    LeftNode { id: id.to_string(), name: name.clone(), environment: environment.to_string() }
}
