//! Identities that two nodes have: every node is held against every other.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::policy::Class;
use evenkeel_drift::report::{Finding, Kind, Part, Severity, State, Status, ValueCount};
use evenkeel_drift::{Fleet, Node, Policy};
use evenkeel_facts::{Digest, Observation};

use super::fact::id;
use super::rules::{self, Who};
use super::times::Times;

/// By id: the nodes that say it, and the paths by which they do.
type Holders<'a> = BTreeMap<String, (&'a Node, BTreeSet<String>)>;

pub(crate) fn duplicates(fleet: &Fleet, policy: &Policy, nodes: &[&Node]) -> Vec<Finding> {
    // By family and value: the nodes, and the paths by which they say it.
    let mut claims: BTreeMap<(String, String), Holders<'_>> = BTreeMap::new();
    for node in nodes {
        let identity = node.sections.iter().filter(|section| section.source() == "identity");
        for (path, seen) in identity.flat_map(|section| section.facts()) {
            if let Observation::Present(value) = seen
                && is_unique(policy, path.as_str())
                && !value.to_string().is_empty()
            {
                let family = path.as_str().split('[').next().unwrap().to_owned();
                let of_value = claims.entry((family, value.to_string())).or_default();
                let of_node = of_value.entry(node.id.to_string()).or_insert((node, BTreeSet::new()));
                of_node.1.insert(path.to_string());
            }
        }
    }
    claims.retain(|_, nodes| nodes.len() > 1);
    let mut sets: BTreeMap<Vec<String>, Vec<(String, String)>> = BTreeMap::new();
    for (claim, nodes) in &claims {
        sets.entry(nodes.keys().cloned().collect()).or_default().push(claim.clone());
    }
    let finding = |shared: Vec<(String, String)>| {
        let part = |(family, value): &(String, String)| {
            let path = claims[&(family.clone(), value.clone())].values().next().unwrap().1.first().unwrap();
            Part {
                id: id("duplicate", &Digest::of(value.as_bytes()).to_string(), family),
                path: family.clone(),
                kind: Kind::Duplicate,
                severity: rules::said(policy, path, Who::default()).severity.unwrap_or(Severity::Info),
                summary: String::new(),
            }
        };
        let mut parts: Vec<(Part, (String, String))> =
            shared.into_iter().map(|claim| (part(&claim), claim)).collect();
        parts.sort_by_key(|(part, claim)| {
            (part.path == "identity.mac", std::cmp::Reverse(part.severity), claim.clone())
        });
        let (lead, claim) = parts.remove(0);
        let holders = &claims[&claim];
        let mut values: Vec<ValueCount> = Vec::new();
        for (at, environment) in fleet.environments.iter().enumerate().rev() {
            let nodes = holders.values().filter(|(node, _)| node.environment == at).count() as u64;
            if nodes > 0 {
                let (environment, value) = (environment.to_string(), Some(claim.1.clone()));
                values.push(ValueCount { environment, value, state: State::Present, nodes });
            }
        }
        let became = |(node, paths): &(&Node, BTreeSet<String>)| {
            paths.iter().map(|path| Times { path, thing: None }.became(node)).min().unwrap()
        };
        let mut moments: Vec<_> = holders.values().map(became).collect();
        moments.sort();
        let mut names: Vec<String> = holders.values().map(|(node, _)| node.name.to_string()).collect();
        names.sort();
        let roles: BTreeSet<&str> = holders.values().map(|(node, _)| &*node.role).collect();
        Finding {
            id: lead.id,
            path: lead.path,
            kind: Kind::Duplicate,
            severity: lead.severity,
            status: Status::Open,
            role: if roles.len() == 1 { roles.first().unwrap().to_string() } else { String::new() },
            values,
            nodes: names.into(),
            since: moments[1],
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: parts.into_iter().map(|(part, _)| part).collect(),
            acceptance: None,
        }
    };
    // Addresses alone make no clone.
    sets.retain(|_, shared| shared.iter().any(|(family, _)| family != "identity.mac"));
    // What is hidden is told beside something else, or not at all.
    let is_hidden = |claim: &(String, String)| {
        let path = claims[claim].values().next().unwrap().1.first().unwrap();
        rules::said(policy, path, Who::default()).hide
    };
    sets.retain(|_, shared| !shared.iter().all(is_hidden));
    sets.into_values().map(finding).collect()
}

fn is_unique(policy: &Policy, path: &str) -> bool {
    let said = rules::said(policy, path, Who::default());
    said.class == Class::Identity && !said.ignore
}
