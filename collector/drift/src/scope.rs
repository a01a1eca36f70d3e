//! Who is held against whom: the roles, their cohorts, and each role's reference.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::fleet::{Fleet, Node};
use crate::query::Query;

/// The part of a fleet that a query asks for.
pub(crate) struct Scope<'a> {
    pub(crate) fleet: &'a Fleet,
    /// Index of the reference in `fleet.environments`; `None` when the fleet has no environment of that name.
    pub(crate) reference: Option<usize>,
    /// Whether the query named the reference.
    pub(crate) explicit: bool,
    /// Indices into `fleet.environments`, in order of promotion.
    pub(crate) environments: Vec<usize>,
    /// By name.
    pub(crate) roles: Vec<Role<'a>>,
}

/// The cohorts of one role.
pub(crate) struct Role<'a> {
    pub(crate) name: &'a str,
    /// The reference first, then down the order of promotion. Only environments that have nodes of the role.
    pub(crate) cohorts: Vec<Cohort<'a>>,
    /// The fresh nodes, cohort by cohort.
    pub(crate) nodes: Vec<&'a Node>,
    /// Said behind every summary: that the reference asked for has no node of this role.
    pub(crate) note: Option<String>,
    /// For each node its place in the order of names; made when a long list of names is asked for.
    places: OnceCell<Vec<usize>>,
}

/// The nodes of one environment and one role.
pub(crate) struct Cohort<'a> {
    /// The environment's name.
    pub(crate) name: &'a str,
    /// Index into [`Fleet::environments`].
    pub(crate) environment: usize,
    /// The fresh nodes: a range of [`Role::nodes`].
    pub(crate) fresh: Range<usize>,
    /// The nodes that did not report within their deadline.
    pub(crate) stale: Vec<&'a Node>,
}

impl<'a> Scope<'a> {
    /// What the query asks for.
    pub(crate) fn new(fleet: &'a Fleet, query: &Query) -> Self {
        let wanted_role = |node: &Node| query.role.as_deref().is_none_or(|role| *node.role == *role);
        let mut populated = vec![false; fleet.environments.len()];
        let mut nodes: Vec<&Node> = Vec::with_capacity(fleet.nodes.len());
        for node in fleet.nodes.iter().map(|node| &**node).filter(|node| wanted_role(node)) {
            if let Some(populated) = populated.get_mut(node.environment) {
                *populated = true;
                nodes.push(node);
            }
        }
        let named = |name: &str| fleet.environments.iter().position(|known| **known == *name);
        let reference = match &query.reference {
            Some(name) => named(name),
            None => populated.iter().rposition(|some| *some).or(fleet.environments.len().checked_sub(1)),
        };
        let asked = |at: usize| {
            let name = &fleet.environments[at];
            query.environments.as_ref().is_none_or(|names| names.iter().any(|asked| **asked == **name))
        };
        let environments: Vec<usize> =
            (0..fleet.environments.len()).filter(|at| asked(*at) || Some(*at) == reference).collect();
        let mut scope =
            Self { fleet, reference, explicit: query.reference.is_some(), environments, roles: Vec::new() };
        scope.roles = scope.roles(&nodes);
        scope
    }

    fn roles(&self, nodes: &[&'a Node]) -> Vec<Role<'a>> {
        let mut by_role: BTreeMap<&str, Vec<Vec<&Node>>> = BTreeMap::new();
        for node in nodes.iter().filter(|node| self.environments.contains(&node.environment)) {
            let cohorts =
                by_role.entry(&node.role).or_insert_with(|| vec![Vec::new(); self.fleet.environments.len()]);
            cohorts[node.environment].push(node);
        }
        by_role.into_iter().map(|(name, cohorts)| self.role(name, cohorts)).collect()
    }

    fn role(&self, name: &'a str, mut nodes: Vec<Vec<&'a Node>>) -> Role<'a> {
        // The reference itself, or the last environment that has such nodes.
        let first = self
            .reference
            .filter(|at| !nodes[*at].is_empty())
            .or_else(|| nodes.iter().rposition(|nodes| !nodes.is_empty()));
        let order = first.into_iter().chain((0..nodes.len()).rev().filter(|at| Some(*at) != first));
        let mut role =
            Role { name, cohorts: Vec::new(), nodes: Vec::new(), note: None, places: OnceCell::new() };
        for at in order {
            let members = std::mem::take(&mut nodes[at]);
            if members.is_empty() {
                continue;
            }
            let (fresh, stale): (Vec<&Node>, Vec<&Node>) = members.into_iter().partition(|node| node.fresh);
            let start = role.nodes.len();
            role.nodes.extend(fresh);
            let (name, fresh) = (&*self.fleet.environments[at], start..role.nodes.len());
            role.cohorts.push(Cohort { name, environment: at, fresh, stale });
        }
        if let Some(reference) = self.reference.filter(|at| self.explicit && first != Some(*at)) {
            let of_role = if name.is_empty() { String::new() } else { format!("{name} ") };
            role.note = Some(format!("{} has no {of_role}node", self.fleet.environments[reference]));
        }
        role
    }
}

impl Role<'_> {
    /// The names of these nodes (indices into [`Role::nodes`]), in order.
    pub(crate) fn names(&self, nodes: impl IntoIterator<Item = usize>) -> Vec<String> {
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        if nodes.len() < self.nodes.len() / 8 {
            nodes.sort_unstable_by_key(|at| &self.nodes[*at].name);
        // A fleet that is in order of names pays for no sorting.
        } else if !nodes.is_sorted_by_key(|at| &self.nodes[*at].name) {
            let places = self.places.get_or_init(|| places(&self.nodes));
            nodes.sort_unstable_by_key(|at| places[*at]);
        }
        nodes.into_iter().map(|at| self.nodes[at].name.to_string()).collect()
    }
}

/// For each node its place in the order of names.
fn places(nodes: &[&Node]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_unstable_by_key(|at| &nodes[*at].name);
    let mut places = vec![0; nodes.len()];
    for (place, node) in order.into_iter().enumerate() {
        places[node] = place;
    }
    places
}
