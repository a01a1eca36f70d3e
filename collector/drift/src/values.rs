//! One fact over the fleet: every value, and the nodes that hold it.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_facts::Observation;
use serde::{Deserialize, Serialize};

use crate::contents::{Contents, contents};
use crate::entity;
use crate::fleet::Fleet;
use crate::query::Query;
use crate::report::State;
use crate::rows::{Look, covers, resolve};
use crate::scope::{Role, Scope};

/// One fact over the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// The fact, or the thing (`go.program[x]`).
    pub path: String,
    /// By name; only roles of which some node says something of the path. Empty: no node knows it.
    pub roles: Vec<RoleValues>,
}

/// The nodes of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleValues {
    /// The role.
    pub role: String,
    /// In order of promotion; only environments that have nodes of the role.
    pub environments: Vec<EnvironmentValues>,
}

/// The nodes of one role in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentValues {
    /// The environment.
    pub environment: String,
    /// The value that most nodes hold first.
    pub values: Vec<Held>,
    /// The names of the stale nodes, in order: what they say is not shown, as it may no longer be so.
    pub stale: Vec<String>,
}

/// A value as observed (not in canonical form), and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The value as text; `None` when `state` is not `present`, and for a thing that is just there.
    pub value: Option<String>,
    /// Whether it is there.
    pub state: State,
    /// Why it could not be read, as a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The names of the fresh nodes, in order.
    pub nodes: Vec<String>,
}

/// Every value of a fact and who holds it; for a thing (`go.program[x]`) who has it.
pub fn values(fleet: &Fleet, path: &str) -> Values {
    let everything = Query { environments: None, role: None, reference: None, min_severity: None, all: true };
    let scope = Scope::new(fleet, &everything);
    let roles = scope.roles.iter().filter_map(|role| {
        let sources = contents(role);
        let looks = looks(&sources, path)?;
        Some(of_role(role, &looks))
    });
    Values { path: path.to_owned(), roles: roles.collect() }
}

/// For the source that knows the path: what each group says, and its nodes.
fn looks<'a, 'c>(sources: &'c [Contents<'a>], path: &str) -> Option<Vec<(Look<'a>, &'c [usize])>> {
    let of = |contents: &'c Contents<'a>, look: &dyn Fn(usize) -> Look<'a>| {
        contents.groups.iter().enumerate().map(|(at, group)| (look(at), group.nodes.as_slice())).collect()
    };
    for contents in sources {
        let noted: Vec<Option<&Observation>> = contents.groups.iter().map(|group| group.find(path)).collect();
        if noted.iter().any(|seen| matches!(seen, Some(Observation::Present(_) | Observation::Absent))) {
            let homes = homes(contents, |at| at == path);
            return Some(of(contents, &|at| resolve(contents, at, path, &homes, noted[at])));
        }
    }
    let thing = sources.iter().find(|contents| {
        let mut groups = contents.groups.iter();
        entity::thing_of(path) == Some(path)
            && groups.any(|group| entity::facts_of(group, path).next().is_some())
    });
    if let Some(contents) = thing {
        let homes = homes(contents, |at| covers(path, at));
        return Some(of(contents, &|at| entity::look(contents, at, path, &homes)));
    }
    // Nobody could read it: those who tried say why.
    let tried = |contents: &&Contents<'_>| {
        let mut unreadable = contents.groups.iter().flat_map(|group| &group.unreadable);
        unreadable.any(|(at, _)| covers(at, path))
    };
    let contents = sources.iter().find(tried)?;
    Some(of(contents, &|at| resolve(contents, at, path, &[], contents.groups[at].find(path))))
}

/// The sections that note such paths.
fn homes<'a>(contents: &Contents<'a>, wanted: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let sections = contents.groups.iter().flat_map(|group| &group.sections);
    let noting = sections.filter(|section| section.facts().iter().any(|(path, _)| wanted(path.as_str())));
    noting.map(|section| section.name()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_role(role: &Role<'_>, looks: &[(Look<'_>, &[usize])]) -> RoleValues {
    let mut environments: Vec<(usize, EnvironmentValues)> = Vec::new();
    for cohort in &role.cohorts {
        let mut held: BTreeMap<(State, Option<String>, Option<String>), Vec<usize>> = BTreeMap::new();
        for (look, nodes) in looks {
            let mut own = nodes.iter().copied().filter(|node| cohort.fresh.contains(node)).peekable();
            if own.peek().is_some() {
                held.entry(words(*look)).or_default().extend(own);
            }
        }
        let mut values: Vec<Held> = held
            .into_iter()
            .map(|((state, value, reason), nodes)| Held { value, state, reason, nodes: role.names(nodes) })
            .collect();
        values.sort_by_key(|held| std::cmp::Reverse(held.nodes.len()));
        let mut stale: Vec<String> = cohort.stale.iter().map(|node| node.name.to_string()).collect();
        stale.sort_unstable();
        environments.push((
            cohort.environment,
            EnvironmentValues { environment: cohort.name.to_owned(), values, stale },
        ));
    }
    environments.sort_by_key(|(at, _)| *at);
    RoleValues {
        role: role.name.to_owned(),
        environments: environments.into_iter().map(|(_, values)| values).collect(),
    }
}

fn words(look: Look<'_>) -> (State, Option<String>, Option<String>) {
    match look {
        Look::Present(value) => (State::Present, Some(value.to_string()), None),
        Look::There => (State::Present, None, None),
        Look::Absent | Look::Inapplicable => (State::Absent, None, None),
        Look::Unreadable(reason) => (State::Unreadable, None, Some(reason.to_string())),
    }
}
