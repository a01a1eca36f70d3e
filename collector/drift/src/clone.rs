//! Nodes whose key several machines hold at once: whoever cloned the machine cloned its identity. No facts tell this; the
//! collector hears it from the connections.

use crate::fleet::{Holders, Node};
use crate::judge::id_of;
use crate::report::{Finding, Kind, Severity, State, Status, ValueCount};
use crate::scope::Scope;

/// What stands for the key among the facts.
const PATH: &str = "identity.key";
const REASON: &str = "A node is known by its key, and each agent makes its own. Several machines that hold one were cloned, \
    or restored from one backup: what they report takes turns. On all but one, stop the agent, enrol it anew (evenkeel-agent enroll --again, with a token) and start it.";

/// One finding for each such node, by the node's id.
pub(crate) fn clones(scope: &Scope<'_>) -> Vec<Finding> {
    let nodes = &scope.fleet.nodes;
    let nodes = nodes.held().iter().filter(|at| scope.includes(**at)).map(|at| nodes.at(*at));
    let mut cloned: Vec<(&Node, &Holders)> =
        nodes.filter_map(|node| Some((node, node.holders.as_deref()?))).collect();
    cloned.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    cloned.into_iter().map(|(node, holders)| finding(scope, node, holders)).collect()
}

fn finding(scope: &Scope<'_>, node: &Node, Holders { names, since }: &Holders) -> Finding {
    Finding {
        id: id_of(Kind::Duplicate, &node.id, PATH),
        path: PATH.to_owned(),
        kind: Kind::Duplicate,
        severity: Severity::Critical,
        status: Status::Open,
        role: node.role.to_string(),
        values: vec![ValueCount {
            environment: scope.fleet.environments[node.environment].to_string(),
            value: Some(names.join(", ")),
            state: State::Present,
            nodes: 1,
        }],
        nodes: [node.name.to_string()].into(),
        since: *since,
        summary: format!("{}: {} machines hold its key: {}", node.name, names.len(), names.join(", ")),
        reason: REASON.to_owned(),
        expected: None,
        parts: Vec::new(),
        acceptance: None,
    }
}
