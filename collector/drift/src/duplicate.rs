//! Identities that must be unique and are not: two machines with one machine id are a cloned one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_facts::{Digest, Value, natural};
use jiff::Timestamp;

use crate::fleet::Node;
use crate::judge::id_of;
use crate::nodes::{identities, identity_family as family};
use crate::policy::{Class, Policy};
use crate::report::{Finding, Kind, Part, State, Status, ValueCount};
use crate::scope::Scope;
use crate::since::changed;

/// One claim of one node: a fact that nobody else may have.
#[derive(Clone, Copy)]
struct Claim<'a> {
    node: &'a Node,
    path: &'a str,
    value: &'a Value,
}

/// One finding for each set of nodes that share identities, by path of the first of them.
pub(crate) fn duplicates(scope: &Scope<'_>, policy: &Policy) -> Vec<Finding> {
    let (nodes, mut unique) = (&scope.fleet.nodes, HashMap::new());
    let mut shared: Vec<Claim<'_>> = Vec::new();
    for (hash, places) in nodes.claims().shared() {
        let places: Vec<u32> = places.iter().copied().filter(|place| scope.includes(*place)).collect();
        if places.len() < 2 {
            continue;
        }
        for node in places.into_iter().map(|place| nodes.at(place)) {
            let claimed = identities(node).filter(|(path, value)| nodes.claims().hash(path, value) == hash);
            let claimed =
                claimed.filter(|(path, _)| *unique.entry(*path).or_insert_with(|| is_unique(policy, path)));
            shared.extend(claimed.map(|(path, value)| Claim { node, path, value }));
        }
    }
    let key = |claim: &Claim<'_>| (family(claim.path).to_owned(), claim.value.to_string());
    shared.sort_by_cached_key(|claim| (key(claim), claim.node.id.clone(), claim.path));
    // By the nodes that share them: a cloned machine has the machine id and every host key of its origin.
    let mut clones: BTreeMap<BTreeSet<&str>, Vec<&[Claim<'_>]>> = BTreeMap::new();
    for claimed in shared.chunk_by(|a, b| key(a) == key(b)) {
        let nodes: BTreeSet<&str> = claimed.iter().map(|claim| &*claim.node.id).collect();
        if nodes.len() > 1 {
            clones.entry(nodes).or_default().push(claimed);
        }
    }
    // What is hidden is told beside something else, or not at all.
    let is_hidden = |claimed: &&[Claim<'_>]| policy.verdict(claimed[0].path).hide;
    let told = clones.into_values().filter(|shared| !shared.iter().all(is_hidden));
    told.map(|shared| finding(scope, policy, shared)).collect()
}

fn is_unique(policy: &Policy, path: &str) -> bool {
    let verdict = policy.verdict(path);
    verdict.class == Class::Identity && !verdict.ignore
}

fn finding(scope: &Scope<'_>, policy: &Policy, mut shared: Vec<&[Claim<'_>]>) -> Finding {
    let severity = |claimed: &[Claim<'_>]| policy.verdict(claimed[0].path).severity();
    shared.sort_by(|a, b| {
        let by_fact = || {
            let key =
                |claimed: &[Claim<'_>]| (family(claimed[0].path).to_owned(), claimed[0].value.to_string());
            key(a).cmp(&key(b))
        };
        let hidden = |claimed: &[Claim<'_>]| policy.verdict(claimed[0].path).hide;
        hidden(a).cmp(&hidden(b)).then(severity(b).cmp(&severity(a))).then_with(by_fact)
    });
    let (lead, rest) = shared.split_first().expect("a set of clones shares something");
    let path = family(lead[0].path).to_owned();
    let [_, _, rule] = policy.deciding(&policy.verdict(lead[0].path));
    let nodes: BTreeMap<&str, &Node> = lead.iter().map(|claim| (&*claim.node.id, claim.node)).collect();
    let roles: BTreeSet<&str> = nodes.values().map(|node| &*node.role).collect();
    let mut names: Vec<String> = nodes.values().map(|node| node.name.to_string()).collect();
    names.sort_unstable();
    Finding {
        id: claim_id(lead),
        kind: Kind::Duplicate,
        severity: severity(lead),
        status: Status::Open,
        role: if roles.len() == 1 {
            roles.into_iter().next().unwrap_or_default().to_owned()
        } else {
            String::new()
        },
        values: values(scope, nodes.values().copied(), &lead[0].value.to_string()),
        summary: sentence(lead, &names),
        nodes: names.into(),
        since: since(lead),
        reason: rule.map(|rule| rule.reason.clone()).unwrap_or_default(),
        expected: None,
        parts: rest.iter().map(|claimed| part(claimed, severity(claimed))).collect(),
        acceptance: None,
        path,
    }
}

fn part(claimed: &[Claim<'_>], severity: crate::report::Severity) -> Part {
    let mut names: Vec<String> = claimed.iter().map(|claim| claim.node.name.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    let path = family(claimed[0].path).to_owned();
    Part { id: claim_id(claimed), path, kind: Kind::Duplicate, severity, summary: sentence(claimed, &names) }
}

/// By family and value: it stays when more clones of the same machine appear.
fn claim_id(claimed: &[Claim<'_>]) -> String {
    let value = Digest::of(claimed[0].value.to_string().as_bytes()).to_string();
    id_of(Kind::Duplicate, &value, family(claimed[0].path))
}

fn sentence(claimed: &[Claim<'_>], names: &[String]) -> String {
    let what = family(claimed[0].path).rsplit('.').next().unwrap_or_default().replace('_', " ");
    let mut names = names.to_vec();
    natural::sort(&mut names);
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        1 => " and one other node".to_owned(),
        more => format!(" and {more} other nodes"),
    };
    format!("{}{more} have one {what}", shown.join(", "))
}

fn values<'a>(scope: &Scope<'_>, nodes: impl Iterator<Item = &'a Node>, value: &str) -> Vec<ValueCount> {
    let mut counts: BTreeMap<std::cmp::Reverse<usize>, u64> = BTreeMap::new();
    for node in nodes {
        *counts.entry(std::cmp::Reverse(node.environment)).or_default() += 1;
    }
    let count = |(at, nodes): (std::cmp::Reverse<usize>, u64)| ValueCount {
        environment: scope.fleet.environments[at.0].to_string(),
        value: Some(value.to_owned()),
        state: State::Present,
        nodes,
    };
    counts.into_iter().map(count).collect()
}

/// When the second of them came.
fn since(claimed: &[Claim<'_>]) -> Timestamp {
    let mut firsts: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for claim in claimed {
        let became = changed(claim.node, claim.path).unwrap_or(claim.node.since);
        let first = firsts.entry(&claim.node.id).or_insert(became);
        *first = became.min(*first);
    }
    let mut firsts: Vec<Timestamp> = firsts.into_values().collect();
    firsts.sort_unstable();
    firsts.get(1).copied().unwrap_or(Timestamp::UNIX_EPOCH)
}
