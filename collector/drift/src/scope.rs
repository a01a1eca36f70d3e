//! Who is held against whom: the roles, their cohorts, and each role's reference.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use crate::fleet::{Fleet, Node};
use crate::nodes::{Nodes, OfCohort, OfRole, count};
use crate::query::Query;
use crate::report::Names;

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
    /// Every node of the fleet, by place.
    pub(crate) nodes: &'a Nodes,
    /// What the nodes of the role say, also those of environments that were not asked for.
    pub(crate) of: &'a OfRole,
    /// By environment: the index of its cohort.
    places: Vec<Option<usize>>,
    /// Said behind every summary: that the reference asked for has no node of this role.
    pub(crate) note: Option<String>,
    /// For each place its rank in the order of names; made when a long list of names is asked for.
    ranks: OnceCell<Vec<u32>>,
}

/// The nodes of one environment and one role.
pub(crate) struct Cohort<'a> {
    /// The environment's name.
    pub(crate) name: &'a str,
    /// Index into [`Fleet::environments`].
    pub(crate) environment: usize,
    /// How many are fresh.
    pub(crate) size: u32,
    of: &'a OfCohort,
}

impl<'a> Scope<'a> {
    /// What the query asks for.
    pub(crate) fn new(fleet: &'a Fleet, query: &Query) -> Self {
        let wanted = |name: &str| query.role.as_deref().is_none_or(|role| name == role);
        let roles = || fleet.nodes.roles().iter().filter(|(name, _)| wanted(name));
        let count = fleet.environments.len();
        let populated = |at: usize| roles().any(|(_, role)| role.cohorts.contains_key(&at));
        let named = |name: &str| fleet.environments.iter().position(|known| **known == *name);
        let reference = match &query.reference {
            Some(name) => named(name),
            None => (0..count).rev().find(|at| populated(*at)).or(count.checked_sub(1)),
        };
        let asked = |at: usize| {
            let name = &fleet.environments[at];
            query.environments.as_ref().is_none_or(|names| names.iter().any(|asked| **asked == **name))
        };
        let environments: Vec<usize> = (0..count).filter(|at| asked(*at) || Some(*at) == reference).collect();
        let mut scope =
            Self { fleet, reference, explicit: query.reference.is_some(), environments, roles: Vec::new() };
        scope.roles = roles().filter_map(|(name, of)| scope.role(name, of)).collect();
        scope
    }

    /// `None`: no node of the role is in an environment that is asked for.
    fn role(&self, name: &'a str, of: &'a OfRole) -> Option<Role<'a>> {
        let here: Vec<usize> =
            self.environments.iter().copied().filter(|at| of.cohorts.contains_key(at)).collect();
        // The reference itself, or the last environment that has such nodes.
        let first = self.reference.filter(|at| here.contains(at)).or_else(|| here.last().copied())?;
        let order = [first].into_iter().chain(here.into_iter().rev().filter(|at| *at != first));
        let fleet = self.fleet;
        let cohorts: Vec<Cohort<'a>> = order
            .map(|at| {
                let of = &of.cohorts[&at];
                Cohort { name: &fleet.environments[at], environment: at, size: count(&of.fresh), of }
            })
            .collect();
        let mut places = vec![None; fleet.environments.len()];
        cohorts.iter().enumerate().for_each(|(at, cohort)| places[cohort.environment] = Some(at));
        let note = self.reference.filter(|at| self.explicit && first != *at).map(|reference| {
            let of_role = if name.is_empty() { String::new() } else { format!("{name} ") };
            format!("{} has no {of_role}node", fleet.environments[reference])
        });
        Some(Role { name, cohorts, nodes: &fleet.nodes, of, places, note, ranks: OnceCell::new() })
    }

    /// Whether a node (by place) is fresh, and in an environment and of a role that are asked for.
    pub(crate) fn includes(&self, place: u32) -> bool {
        let node = self.fleet.nodes.at(place);
        let role = self.roles.iter().find(|role| *role.name == *node.role);
        node.fresh && role.is_some_and(|role| role.cohort(node.environment).is_some())
    }
}

impl<'a> Role<'a> {
    /// A node by its place.
    pub(crate) fn node(&self, place: u32) -> &'a Node {
        self.nodes.at(place)
    }

    /// The cohort of an environment; `None` when it is not asked for.
    pub(crate) fn cohort(&self, environment: usize) -> Option<usize> {
        self.places.get(environment).copied().flatten()
    }

    /// How many nodes are fresh.
    pub(crate) fn size(&self) -> u32 {
        self.cohorts.iter().map(|cohort| cohort.size).sum()
    }

    /// Every fresh node.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = u32> {
        self.cohorts.iter().flat_map(|cohort| cohort.fresh().iter())
    }

    /// The names of these nodes, in order.
    pub(crate) fn names(&self, nodes: impl IntoIterator<Item = u32>) -> Vec<String> {
        let mut nodes: Vec<u32> = nodes.into_iter().collect();
        // Most fleets come in order of their names, a group of nodes and another do not.
        nodes.sort_unstable();
        if nodes.len() < self.size() as usize / 8 {
            nodes.sort_unstable_by_key(|at| &self.node(*at).name);
        // A fleet that is in order of names pays for no sorting.
        } else if !nodes.is_sorted_by_key(|at| &self.node(*at).name) {
            let ranks = self.ranks.get_or_init(|| self.ranks());
            nodes.sort_unstable_by_key(|at| ranks[*at as usize]);
        }
        nodes.into_iter().map(|at| self.node(at).name.to_string()).collect()
    }

    /// The same of fresh nodes. That of all of them, or of all of a cohort, is kept with the nodes.
    pub(crate) fn list(&self, nodes: impl IntoIterator<Item = u32>) -> Names {
        let mut nodes: Vec<u32> = nodes.into_iter().collect();
        nodes.sort_unstable();
        let size = nodes.len();
        let make = || self.names(nodes.iter().copied()).into();
        let is_whole = self.cohorts.len() == self.of.cohorts.len() && size == self.size() as usize;
        let is_all_of = |cohort: &Cohort<'_>| {
            cohort.size as usize == size && cohort.fresh().iter().eq(nodes.iter().copied())
        };
        let cohort = || self.cohorts.iter().find(|cohort| is_all_of(cohort));
        let kept = if is_whole { Some(&self.of.names) } else { cohort().map(|cohort| &cohort.of.names) };
        kept.map_or_else(make, |kept| Names::clone(kept.get_or_init(make)))
    }

    fn ranks(&self) -> Vec<u32> {
        let all = self.cohorts.iter().flat_map(|cohort| cohort.fresh() | cohort.stale());
        let mut order: Vec<u32> = all.collect();
        order.sort_unstable_by_key(|at| &self.node(*at).name);
        let mut ranks = vec![0; self.nodes.capacity()];
        for (rank, place) in (0..).zip(order) {
            ranks[place as usize] = rank;
        }
        ranks
    }
}

impl<'a> Cohort<'a> {
    /// The nodes that reported within their deadline.
    pub(crate) fn fresh(&self) -> &'a RoaringBitmap {
        &self.of.fresh
    }

    /// The nodes that did not.
    pub(crate) fn stale(&self) -> &'a RoaringBitmap {
        &self.of.stale
    }

    /// How many of the fresh ones were taken in first at each moment.
    pub(crate) fn known(&self) -> &'a BTreeMap<Timestamp, u32> {
        &self.of.known
    }
}
