//! In which environments a caller may see and touch something. What is outside of them is not there for it.

use std::sync::Arc;

use evenkeel_drift::{Fleet, Node};
use tonic::{Request, Status};

use crate::access::Peer;

/// The environments that a caller may see and touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every environment, also those that will be.
    Everywhere,
    /// These.
    Only(Vec<String>),
}

impl Scope {
    /// Of a user's certificate: none named means every environment.
    pub fn of_user(environments: Vec<String>) -> Self {
        if environments.is_empty() { Self::Everywhere } else { Self::Only(environments) }
    }

    /// Of the caller of this request. Who is no user sees nothing.
    pub fn of<T>(request: &Request<T>) -> Self {
        match request.extensions().get() {
            Some(Peer::User { scope, .. }) => scope.clone(),
            Some(Peer::Node { .. } | Peer::Lapsed { .. } | Peer::Anonymous) | None => Self::Only(Vec::new()),
        }
    }

    /// As a certificate names them: none means every environment.
    pub fn environments(self) -> Vec<String> {
        match self {
            Self::Everywhere => Vec::new(),
            Self::Only(environments) => environments,
        }
    }

    /// Whether this environment is one of them. This decides, everywhere.
    pub fn includes(&self, environment: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(environments) => environments.iter().any(|known| known == environment),
        }
    }

    /// Refuses what concerns another environment.
    pub fn check(&self, environment: &str) -> Result<(), Status> {
        match self {
            Self::Only(only) if !self.includes(environment) => Err(Status::permission_denied(format!(
                "your certificate is limited to {}: {environment:?} is not among them",
                only.join(", ")
            ))),
            Self::Everywhere | Self::Only(_) => Ok(()),
        }
    }

    /// The fleet as if there were no other environments.
    pub fn view(&self, fleet: Fleet) -> Fleet {
        if *self == Self::Everywhere {
            return fleet;
        }
        let Fleet { journal, environments, nodes, unique, acceptances, quarantined, changes } = fleet;
        let mut kept = Vec::new();
        let places: Vec<Option<usize>> = environments
            .into_iter()
            .map(|name| {
                let place = self.includes(&name).then_some(kept.len());
                kept.extend(place.map(|_| name));
                place
            })
            .collect();
        let moved = |node: &Arc<Node>| {
            let environment = places.get(node.environment).copied().flatten()?;
            Some(Arc::new(Node { environment, ..Node::clone(node) }))
        };
        let nodes = nodes.iter().filter_map(moved).collect();
        Fleet { journal, environments: kept, nodes, unique, acceptances, quarantined, changes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::Snapshot;
    use jiff::Timestamp;

    fn node(name: &str, environment: usize) -> Arc<Node> {
        let snapshot = Snapshot {
            taken_at: Timestamp::UNIX_EPOCH,
            agent: String::new(),
            host: name.into(),
            environment: None,
            role: String::new(),
            sections: Vec::new(),
        };
        Arc::new(Node { environment, ..Node::of_snapshot(snapshot) })
    }

    /// Promise: who is limited to some environments sees a fleet that has no others.
    #[test]
    fn others_are_not_there() {
        let fleet = Fleet {
            journal: 7,
            environments: ["dev", "test", "staging", "prod"].map(Arc::from).to_vec(),
            nodes: (0..4).map(|at| node(&format!("n{at}"), at)).collect(),
            ..Fleet::default()
        };
        let names = |fleet: &Fleet| -> Vec<String> {
            fleet.nodes.iter().map(|n| format!("{} {}", n.name, fleet.environments[n.environment])).collect()
        };
        let seen = Scope::of_user(vec!["prod".into(), "test".into()]).view(fleet.clone());
        assert_eq!((seen.journal, names(&seen)), (7, vec!["n1 test".to_owned(), "n3 prod".to_owned()]));
        assert_eq!(names(&Scope::Everywhere.view(fleet.clone())).len(), 4);
        let none = Scope::Only(Vec::new()).view(fleet);
        assert!(none.nodes.is_empty() && none.environments.is_empty());
    }

    #[test]
    fn what_concerns_another_is_refused() {
        let scope = Scope::of_user(vec!["dev".into(), "test".into()]);
        assert!(scope.check("dev").is_ok() && Scope::of_user(Vec::new()).check("prod").is_ok());
        assert_eq!(
            scope.check("prod").unwrap_err().message(),
            "your certificate is limited to dev, test: \"prod\" is not among them"
        );
        assert_eq!(Scope::of(&Request::new(())), Scope::Only(Vec::new()));
    }
}
