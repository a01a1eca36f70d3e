//! One fact over the fleet: every value, and the nodes that hold it.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_facts::{Observation, Section};
use serde::{Deserialize, Serialize};

use crate::contents::{Contents, Group, contents};
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
        let contents = source(role, path)?;
        Some(of_role(role, &contents, &looks(&contents, path)))
    });
    Values { path: path.to_owned(), roles: roles.collect() }
}

/// The source that knows the path: some node could read it; or it is a thing; or somebody tried.
fn source<'a>(role: &'a Role<'a>, path: &str) -> Option<Contents<'a>> {
    let sources: Vec<Contents<'_>> = contents(role);
    let of = |knows: &dyn Fn(&Section) -> bool| {
        let knows = |contents: &Contents<'_>| {
            contents.groups.iter().flat_map(|group| group.sections).any(|section| knows(section))
        };
        sources.iter().position(knows)
    };
    let is_thing = entity::thing_of(path) == Some(path);
    let tried = |section: &Section| {
        let mut facts = section.facts().iter();
        facts.any(|(at, seen)| matches!(seen, Observation::Unreadable(_)) && covers(at.as_str(), path))
    };
    let at = of(&|section| is_read(section.find(path)))
        .or_else(|| of(&|section| is_thing && entity::facts_in(section, path).next().is_some()))
        .or_else(|| of(&tried))?;
    sources.into_iter().nth(at)
}

fn is_read(seen: Option<&Observation>) -> bool {
    matches!(seen, Some(Observation::Present(_) | Observation::Absent))
}

/// What each group of the source that knows the path says.
fn looks<'a>(contents: &Contents<'a>, path: &str) -> Vec<Look<'a>> {
    let of = |look: &dyn Fn(usize) -> Look<'a>| (0..contents.groups.len()).map(look).collect();
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
    let sections = contents.groups.iter().flat_map(|group| group.sections);
    let noting = sections.filter(|section| section.facts().iter().any(|(path, _)| wanted(path.as_str())));
    noting.map(|section| section.name()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_role(role: &Role<'_>, contents: &Contents<'_>, looks: &[Look<'_>]) -> RoleValues {
    let mut held: Vec<BTreeMap<Words, Vec<u32>>> = vec![BTreeMap::new(); role.cohorts.len()];
    for (group, look) in looks.iter().enumerate() {
        for (cohort, places) in contents.parts(group) {
            held[cohort].entry(words(*look)).or_default().extend(places.iter());
        }
    }
    let mut environments: Vec<(usize, EnvironmentValues)> = Vec::new();
    for (cohort, held) in role.cohorts.iter().zip(held) {
        let mut values: Vec<Held> = held
            .into_iter()
            .map(|((state, value, reason), nodes)| Held { value, state, reason, nodes: role.names(nodes) })
            .collect();
        values.sort_by_key(|held| std::cmp::Reverse(held.nodes.len()));
        let stale = role.names(cohort.stale());
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

/// What is said: its state, its value, and why it could not be read.
type Words = (State, Option<String>, Option<String>);

fn words(look: Look<'_>) -> Words {
    match look {
        Look::Present(value) => (State::Present, Some(value.to_string()), None),
        Look::There => (State::Present, None, None),
        Look::Absent | Look::Inapplicable => (State::Absent, None, None),
        Look::Unreadable(reason) => (State::Unreadable, None, Some(reason.to_string())),
    }
}
