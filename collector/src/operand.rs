//! What `diff` and `gate` compare: an environment or a node, now or at a moment, a baseline, or a snapshot file that the
//! caller sends along.

use std::sync::Arc;

use evenkeel_drift::{Fleet, Node, Policy, Side};
use evenkeel_facts::snapshot_file;
use evenkeel_proto::report::{Operand, operand};
use evenkeel_runtime::exit;
use jiff::Timestamp;
use tonic::Status;

use crate::archive::{Archive, View};
use crate::scope::Scope;

/// One side of a comparison.
#[derive(Debug)]
pub enum Chosen {
    /// Nodes.
    Nodes(Side),
    /// A baseline that is a list of expectations, and what it is called.
    Expectations(Arc<Policy>, String),
}

/// The side that an operand stands for. The error is a sentence for the caller.
pub fn choose(
    archive: &Archive,
    scope: &Scope,
    view: &View,
    operand: Option<Operand>,
) -> Result<Chosen, Status> {
    match operand.and_then(|operand| operand.operand) {
        Some(operand::Operand::Selector(selector)) => chosen(archive, scope, view, &selector),
        Some(operand::Operand::File(file)) => match snapshot_file::from_json(&file.json) {
            Ok(snapshot) => Ok(Chosen::Nodes(Side::of_snapshot(&file.name, snapshot))),
            Err(error) => {
                let why = format!("cannot read the snapshot {}: {}", file.name, exit::chain(&error));
                Err(Status::invalid_argument(why))
            }
        },
        None => Err(Status::invalid_argument(
            "an operand is missing: name an environment, node/NAME, baseline/NAME or file:SNAPSHOT.json",
        )),
    }
}

fn chosen(archive: &Archive, scope: &Scope, view: &View, selector: &str) -> Result<Chosen, Status> {
    if let Some(name) = selector.strip_prefix("baseline/") {
        return baseline(archive, scope, name);
    }
    let side = match selector.split_once('@') {
        None => selected(&view.fleet, selector, selector),
        Some((what, moment)) => {
            let at: Timestamp = moment.parse().map_err(|_| {
                Status::invalid_argument(format!(
                    "{moment:?} in {selector} is no time such as 2026-11-20T03:12:00Z"
                ))
            })?;
            // To the second: nobody compares, or reads, nanoseconds.
            selected(&archive.view_at(scope, at)?.fleet, what, &format!("{what}@{at:.0}"))
        }
    };
    side.map(Chosen::Nodes).map_err(Status::invalid_argument)
}

fn baseline(archive: &Archive, scope: &Scope, name: &str) -> Result<Chosen, Status> {
    let state = archive.ledger().state();
    let known = state.judgement().baseline(name);
    let known = known.filter(|known| known.nodes.iter().all(|(environment, _)| scope.includes(environment)));
    let Some(known) = known else {
        return Err(Status::not_found(format!("there is no baseline {name:?}: see evenkeel baseline list")));
    };
    let label = format!("baseline/{name}");
    Ok(match &known.expectations {
        Some(policy) => Chosen::Expectations(Arc::clone(policy), label),
        None => Chosen::Nodes(Side {
            label,
            nodes: known.nodes.iter().map(|(_, node)| Arc::clone(node)).collect(),
        }),
    })
}

/// The nodes that a selector without a moment means.
pub fn selected(fleet: &Fleet, selector: &str, label: &str) -> Result<Side, String> {
    let nodes: Vec<Arc<Node>> = if let Some(name) = selector.strip_prefix("node/") {
        let named = |node: &&Arc<Node>| *node.name == *name || *node.id == *name;
        let nodes: Vec<_> = fleet.nodes.iter().filter(named).cloned().collect();
        match nodes.as_slice() {
            [] => return Err(format!("there is no node {name:?}: see evenkeel nodes")),
            [_] => nodes,
            // The name is a label that a node gives itself: it must not decide what is compared.
            several => {
                let ids =
                    several.iter().map(|node| format!("node/{}", node.id)).collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "{} nodes are called {name:?}; name one by its id: {ids}",
                    several.len()
                ));
            }
        }
    } else {
        let Some(at) = fleet.environments.iter().position(|name| **name == *selector) else {
            let known = fleet.environments.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "{selector:?} is neither an environment ({known}) nor node/NAME, baseline/NAME or file:SNAPSHOT.json"
            ));
        };
        fleet.nodes.iter().filter(|node| node.environment == at).cloned().collect()
    };
    Ok(Side { label: label.to_owned(), nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let fleet = Fleet { environments: vec!["dev".into(), "prod".into()], ..Fleet::default() };
        let select = |selector: &str| selected(&fleet, selector, selector);
        assert_eq!(select("prod").unwrap().label, "prod");
        assert_eq!(
            select("prd").unwrap_err(),
            "\"prd\" is neither an environment (dev, prod) nor node/NAME, baseline/NAME or file:SNAPSHOT.json"
        );
        assert_eq!(select("node/web-1").unwrap_err(), "there is no node \"web-1\": see evenkeel nodes");
    }
}
