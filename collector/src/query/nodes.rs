//! The nodes: members of the fleet, and, when asked for, those that were sent away.

use std::sync::Arc;

use evenkeel_facts::Observation;
use evenkeel_proto::{report as wire, times};
use tonic::Status;
use uuid::Uuid;

use super::{named, no_such_node};
use crate::scope::Scope;
use crate::state::{Left, NodeState, State};

/// Nodes a page.
const PAGE: usize = 10_000;

enum Listed<'a> {
    Member(&'a NodeState),
    Left(&'a Left),
}

/// One page of them, in order of environment and name.
pub(super) fn list(
    state: &State,
    scope: &Scope,
    request: wire::ListNodesRequest,
) -> Result<wire::ListNodesResponse, Status> {
    let wire::ListNodesRequest { name, page_token, left } = request;
    let mut nodes: Vec<Listed<'_>> = named(state, scope, &name).map(Listed::Member).collect();
    if left {
        let id = Uuid::parse_str(&name).ok();
        let is_meant = |left: &&Left| {
            scope.includes(&left.environment) && (name.is_empty() || left.name == name || Some(left.id) == id)
        };
        nodes.extend(state.left().filter(is_meant).map(Listed::Left));
    }
    if !name.is_empty() && nodes.is_empty() {
        return Err(no_such_node(&name));
    }
    nodes.sort_by_cached_key(|node| order(state, node));
    let begin = match page_token.as_str() {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| Status::invalid_argument("page_token is not one that this service gave"))?,
    };
    let page: Vec<_> = nodes.iter().skip(begin).take(PAGE).map(to_wire).collect();
    let end = begin + page.len();
    let next_page_token = if end < nodes.len() { end.to_string() } else { String::new() };
    Ok(wire::ListNodesResponse { nodes: page, next_page_token })
}

fn order(state: &State, node: &Listed<'_>) -> (usize, Arc<str>, Uuid) {
    let (environment, name, id) = match node {
        Listed::Member(node) => (&node.environment, Arc::clone(&node.view.name), node.id),
        Listed::Left(left) => (&left.environment, left.name.as_str().into(), left.id),
    };
    let place = state.environments().iter().position(|known| known == environment);
    (place.unwrap_or(usize::MAX), name, id)
}

fn to_wire(node: &Listed<'_>) -> wire::Node {
    match node {
        Listed::Member(node) => member_to_wire(node),
        Listed::Left(Left { id, name, environment, enrolled, banned, .. }) => wire::Node {
            id: id.to_string(),
            name: name.clone(),
            environment: environment.to_string(),
            enrolled: Some(times::to_wire(*enrolled)),
            standing: if *banned { "banned" } else { "evicted" }.to_owned(),
            ..wire::Node::default()
        },
    }
}

fn member_to_wire(node: &NodeState) -> wire::Node {
    let facts = || node.view.sections.iter().flat_map(|section| section.facts());
    let unreadable =
        facts().filter(|(_, observation)| matches!(observation, Observation::Unreadable(_))).count();
    wire::Node {
        id: node.id.to_string(),
        name: node.view.name.to_string(),
        environment: node.environment.to_string(),
        role: node.view.role.to_string(),
        fresh: node.view.fresh,
        last_seen: node.last_seen().map(times::to_wire),
        last_changed: node.head.as_ref().map(|head| times::to_wire(head.changed_at)),
        enrolled: Some(times::to_wire(node.enrolled)),
        agent: node.agent.clone(),
        facts: facts().count() as u64,
        unreadable: unreadable as u64,
        labels: node.shown.clone().into_iter().collect(),
        standing: "member".to_owned(),
        holders: node.holders().to_vec(),
    }
}
