//! One fact over the fleet: every value, and the nodes that hold it.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_facts::{Observation, Section};
use serde::{Deserialize, Serialize};

use crate::contents::{Contents, Group, contents_of, distinct};
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
        let contents = contents_of(role, source(role, path)?)?;
        Some(of_role(role, &looks(&contents, path)))
    });
    Values { path: path.to_owned(), roles: roles.collect() }
}

/// The source that knows the path: some node could read it; or it is a thing; or somebody tried.
fn source<'a>(role: &Role<'a>, path: &str) -> Option<&'a str> {
    let sources = distinct(role);
    let of = |knows: &dyn Fn(&Section) -> bool| {
        let mut sources = sources.iter();
        sources.find(|(_, sections)| sections.iter().any(|section| knows(section))).map(|(name, _)| *name)
    };
    let is_thing = entity::thing_of(path) == Some(path);
    of(&|section| is_read(section.find(path)))
        .or_else(|| of(&|section| is_thing && entity::facts_in(section, path).next().is_some()))
        .or_else(|| {
            of(&|section| {
                let mut facts = section.facts().iter();
                facts
                    .any(|(at, seen)| matches!(seen, Observation::Unreadable(_)) && covers(at.as_str(), path))
            })
        })
}

fn is_read(seen: Option<&Observation>) -> bool {
    matches!(seen, Some(Observation::Present(_) | Observation::Absent))
}

/// What each group of the source that knows the path says, and its nodes.
fn looks<'a, 'c>(contents: &'c Contents<'a>, path: &str) -> Vec<(Look<'a>, &'c [usize])> {
    let of = |look: &dyn Fn(usize) -> Look<'a>| {
        contents.groups.iter().enumerate().map(|(at, group)| (look(at), group.nodes.as_slice())).collect()
    };
    let noted: Vec<Option<&Observation>> = contents.groups.iter().map(|group| group.find(path)).collect();
    if noted.iter().any(|seen| is_read(*seen)) {
        let homes = homes(contents, |at| at == path);
        return of(&|at| resolve(contents, at, path, &homes, noted[at]));
    }
    let has = |group: &Group<'_>| entity::facts_of(group, path).next().is_some();
    if entity::thing_of(path) == Some(path) && contents.groups.iter().any(has) {
        let homes = homes(contents, |at| covers(path, at));
        return of(&|at| entity::look(contents, at, path, &homes));
    }
    // Nobody could read it: those who tried say why.
    of(&|at| resolve(contents, at, path, &[], noted[at]))
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
            let start = nodes.partition_point(|node| *node < cohort.fresh.start);
            let end = nodes.partition_point(|node| *node < cohort.fresh.end);
            if start < end {
                held.entry(words(*look)).or_default().extend(&nodes[start..end]);
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
