//! Identities that must be unique and are not: two machines with one machine id are a cloned one.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_facts::{Digest, Observation};
use jiff::Timestamp;

use crate::fleet::Node;
use crate::judge::id_of;
use crate::policy::{Class, Policy};
use crate::report::{Finding, Kind, Part, State, Status, ValueCount};
use crate::scope::Scope;
use crate::since::changed;

/// The source whose facts are unique on every machine.
const IDENTITY: &str = "identity";

/// One claim of one node: a fact that nobody else may have.
struct Claim<'a> {
    /// Of family and value; only what is equal here is looked at.
    hash: u64,
    node: &'a Node,
    path: &'a str,
    value: String,
}

/// One finding for each set of nodes that share identities, by path of the first of them.
pub(crate) fn duplicates(scope: &Scope<'_>, policy: &Policy) -> Vec<Finding> {
    let nodes = scope.roles.iter().flat_map(|role| role.nodes.iter().copied());
    let mut claims: Vec<Claim<'_>> = nodes.flat_map(|node| claims(node, policy)).collect();
    claims.sort_unstable_by(|a, b| {
        (a.hash, family(a.path), &a.value)
            .cmp(&(b.hash, family(b.path), &b.value))
            .then_with(|| (&a.node.id, a.path).cmp(&(&b.node.id, b.path)))
    });
    let same = |a: &Claim<'_>, b: &Claim<'_>| {
        a.hash == b.hash && family(a.path) == family(b.path) && a.value == b.value
    };
    // By the nodes that share them: a cloned machine has the machine id and every host key of its origin.
    let mut clones: BTreeMap<BTreeSet<&str>, Vec<&[Claim<'_>]>> = BTreeMap::new();
    for claimed in claims.chunk_by(same) {
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

/// What a node claims for itself alone.
fn claims<'a>(node: &'a Node, policy: &Policy) -> Vec<Claim<'a>> {
    let sections = node.sections.iter().filter(|section| section.source() == IDENTITY);
    let facts = sections.flat_map(|section| section.facts());
    let present = facts.filter_map(|(path, seen)| match seen {
        Observation::Present(value) => Some((path.as_str(), value.to_string())),
        Observation::Absent | Observation::Unreadable(_) => None,
    });
    present
        .filter(|(path, value)| !value.is_empty() && is_unique(policy, path))
        .map(|(path, value)| Claim { hash: hash(family(path), &value), node, path, value })
        .collect()
}

fn is_unique(policy: &Policy, path: &str) -> bool {
    let verdict = policy.verdict(path);
    verdict.class == Class::Identity && !verdict.ignore
}

/// `identity.mac` for `identity.mac[eth0]`: interfaces are named by the machine.
fn family(path: &str) -> &str {
    path.split('[').next().unwrap_or(path)
}

fn hash(family: &str, value: &str) -> u64 {
    // FNV-1a: it only has to tell most apart, fast.
    let bytes = family.bytes().chain([0]).chain(value.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn finding(scope: &Scope<'_>, policy: &Policy, mut shared: Vec<&[Claim<'_>]>) -> Finding {
    let severity = |claimed: &[Claim<'_>]| policy.verdict(claimed[0].path).severity();
    shared.sort_by(|a, b| {
        let by_fact = || (family(a[0].path), &a[0].value).cmp(&(family(b[0].path), &b[0].value));
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
        values: values(scope, nodes.values().copied(), &lead[0].value),
        summary: sentence(lead, &names),
        nodes: names,
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
    let value = Digest::of(claimed[0].value.as_bytes()).to_string();
    id_of(Kind::Duplicate, &value, family(claimed[0].path))
}

fn sentence(claimed: &[Claim<'_>], names: &[String]) -> String {
    let what = family(claimed[0].path).rsplit('.').next().unwrap_or_default().replace('_', " ");
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
