//! What `diff` and `gate` compare: an environment, a node, or a snapshot file that the caller sends along.

use std::sync::Arc;

use evenkeel_drift::{Fleet, Node, Side};
use evenkeel_facts::snapshot_file;
use evenkeel_proto::report::{Operand, operand};
use evenkeel_runtime::exit;

/// The side that an operand stands for. The error is a sentence for the caller.
pub fn side(fleet: &Fleet, operand: Option<Operand>) -> Result<Side, String> {
    match operand.and_then(|operand| operand.operand) {
        Some(operand::Operand::Selector(selector)) => selected(fleet, &selector),
        Some(operand::Operand::File(file)) => match snapshot_file::from_json(&file.json) {
            Ok(snapshot) => Ok(Side::of_snapshot(&file.name, snapshot)),
            Err(error) => Err(format!("cannot read the snapshot {}: {}", file.name, exit::chain(&error))),
        },
        None => Err("an operand is missing: name an environment, node/NAME or file:SNAPSHOT.json".to_owned()),
    }
}

fn selected(fleet: &Fleet, selector: &str) -> Result<Side, String> {
    if selector.contains('@') {
        return Err(format!(
            "{selector}: a moment in the past cannot be asked for yet; leave out the part from @ on"
        ));
    }
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
                "{selector:?} is neither an environment ({known}) nor node/NAME nor file:SNAPSHOT.json"
            ));
        };
        fleet.nodes.iter().filter(|node| node.environment == at).cloned().collect()
    };
    Ok(Side { label: selector.to_owned(), nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(selector: &str) -> Result<Side, String> {
        let fleet = Fleet { environments: vec!["dev".into(), "prod".into()], ..Fleet::default() };
        side(&fleet, Some(Operand { operand: Some(operand::Operand::Selector(selector.into())) }))
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(select("prod").unwrap().label, "prod");
        assert_eq!(
            select("prd").unwrap_err(),
            "\"prd\" is neither an environment (dev, prod) nor node/NAME nor file:SNAPSHOT.json"
        );
        assert_eq!(select("node/web-1").unwrap_err(), "there is no node \"web-1\": see evenkeel nodes");
        assert!(select("prod@yesterday").unwrap_err().contains("cannot be asked for yet"));
    }
}
