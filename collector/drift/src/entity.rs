//! Things in brackets (`go.program[x]`, `package[x]`): when one is missing, that is one difference, not one for each
//! fact of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_facts::{Observation, Section, Value};
use jiff::Timestamp;
use roaring::RoaringBitmap;

use crate::contents::{Contents, Group};
use crate::rows::{Look, Row, covering, covers, resolve};
use crate::scope::Role;
use crate::since::{Became, changed};

/// The thing that a path speaks of: `go.program[x]` for `go.program[x].module[y]`.
pub(crate) fn thing_of(path: &str) -> Option<&str> {
    let open = path.find('[')?;
    let close = path[open..].find(']')? + open;
    Some(&path[..=close])
}

/// Adds a row for each thing that some groups have and others have not, and takes the facts of a thing out of the
/// comparison where the thing itself is missing. Returns how many rows at the end of the list are things.
pub(crate) fn roll_up<'a>(contents: &Contents<'a>, rows: &mut Vec<Row<'a>>) -> usize {
    let mut by_thing: BTreeMap<&'a str, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        if let Some(thing) = thing_of(row.path) {
            by_thing.entry(thing).or_default().push(at);
        }
    }
    let groups = contents.groups.iter().enumerate();
    let doubtful: Vec<usize> = groups.filter(|(_, group)| group.is_odd).map(|(at, _)| at).collect();
    let mut things = Vec::new();
    let mut replaced = Vec::new();
    for (thing, facts) in by_thing {
        let Some(row) = presence(contents, thing, &facts, rows, &doubtful) else { continue };
        for at in facts {
            if rows[at].path == thing {
                replaced.push(at);
            } else {
                set_aside(&mut rows[at], &row);
            }
        }
        things.push(row);
    }
    replaced.sort_unstable();
    for at in replaced.into_iter().rev() {
        rows.swap_remove(at);
    }
    let count = things.len();
    rows.append(&mut things);
    count
}

/// Which groups have the thing; `None` when all agree, or when the name of the thing is a fact of its own.
fn presence<'a>(
    contents: &Contents<'a>,
    thing: &'a str,
    facts: &[usize],
    rows: &[Row<'a>],
    doubtful: &[usize],
) -> Option<Row<'a>> {
    let is_fact =
        |seen: Option<&Observation>| matches!(seen, Some(Observation::Present(_) | Observation::Absent));
    let own_row = facts.iter().map(|at| &rows[*at]).find(|row| row.path == thing);
    if own_row.map_or_else(|| is_fact(contents.groups[0].find(thing)), |row| row.readable) {
        return None;
    }
    let homes: BTreeSet<&str> = facts.iter().flat_map(|at| rows[*at].homes.iter().copied()).collect();
    let homes: Vec<&str> = homes.into_iter().collect();
    // Groups whose facts of it are all as the first group's can still differ in whether it could be seen.
    let is_doubtful = |at: usize| covering(&contents.groups[at], thing).is_some();
    let exceptions = facts.iter().flat_map(|at| rows[*at].exceptions.iter().map(|(group, _)| *group));
    let may_differ = |at: &usize| is_doubtful(0) || is_doubtful(*at);
    let groups: BTreeSet<usize> = exceptions.chain(doubtful.iter().copied().filter(may_differ)).collect();
    let base = look(contents, 0, thing, &homes);
    let exceptions: Vec<_> = groups
        .into_iter()
        .map(|at| (at, look(contents, at, thing, &homes)))
        .filter(|(_, look)| *look != base)
        .collect();
    if exceptions.is_empty() {
        return None;
    }
    Some(Row { path: thing, base, exceptions, homes, readable: true, base_readable: true })
}

/// Whether a group has the thing.
pub(crate) fn look<'a>(contents: &Contents<'a>, at: usize, thing: &str, homes: &[&str]) -> Look<'a> {
    let group = &contents.groups[at];
    let mut unreadable = covering(group, thing).map(|(_, reason)| reason);
    for (_, seen) in facts_of(group, thing) {
        match seen {
            Observation::Present(_) => return Look::There,
            Observation::Unreadable(reason) => unreadable = unreadable.or(Some(*reason)),
            Observation::Absent => {}
        }
    }
    unreadable.map_or_else(|| resolve(contents, at, thing, homes, None), Look::Unreadable)
}

/// What a group notes of a thing.
pub(crate) fn facts_of<'a>(
    group: &Group<'a>,
    thing: &str,
) -> impl Iterator<Item = (&'a str, &'a Observation)> {
    group.sections.iter().flat_map(move |section| facts_in(section, thing))
}

/// What a section notes of a thing.
pub(crate) fn facts_in<'a>(
    section: &'a Section,
    thing: &str,
) -> impl Iterator<Item = (&'a str, &'a Observation)> {
    let facts = section.facts();
    let start = facts.partition_point(|(path, _)| path.as_str() < thing);
    let of_thing = facts[start..].iter().take_while(move |(path, _)| covers(thing, path.as_str()));
    of_thing.map(|(path, seen)| (path.as_str(), seen))
}

/// Where the thing is missing its facts are not compared.
fn set_aside<'a>(row: &mut Row<'a>, thing: &Row<'a>) {
    let see = |group: Option<usize>| {
        let (own, presence) = match group {
            Some(group) => (row.look(group), thing.look(group)),
            None => (row.base, thing.base),
        };
        if presence == Look::Absent { Look::Inapplicable } else { own }
    };
    let base = see(None);
    let groups: BTreeSet<usize> =
        row.exceptions.iter().chain(&thing.exceptions).map(|(group, _)| *group).collect();
    let exceptions =
        groups.into_iter().map(|group| (group, see(Some(group)))).filter(|(_, look)| *look != base).collect();
    (row.base, row.exceptions) = (base, exceptions);
}

/// The version of a thing, where all that have it say the same one.
pub(crate) fn version<'a>(contents: &Contents<'a>, thing: &Row<'a>) -> Option<&'a str> {
    let path = format!("{}.version", thing.path);
    let mut versions = having(contents, thing).map(|group| match group.find(&path) {
        Some(Observation::Present(Value::Text(version))) if version != "(devel)" => Some(version.as_str()),
        _ => None,
    });
    let first = versions.next()??;
    versions.all(|version| version == Some(first)).then_some(first)
}

fn having<'c, 'a>(contents: &'c Contents<'a>, thing: &'c Row<'a>) -> impl Iterator<Item = &'c Group<'a>> {
    let groups = contents.groups.iter().enumerate();
    groups.filter(|(at, _)| thing.look(*at) == Look::There).map(|(_, group)| group)
}

/// When a thing came or went: it came when the first of the facts that are known of it now did, and went when the
/// last of them did.
pub(crate) struct ThingBecame<'c, 'a> {
    contents: &'c Contents<'a>,
    role: &'c Role<'c>,
    /// For each group that has the thing the facts of it.
    facts: HashMap<usize, Vec<&'a str>>,
    /// Every fact of it that some node knows.
    known: BTreeSet<&'a str>,
}

impl<'c, 'a> ThingBecame<'c, 'a> {
    pub(crate) fn new(contents: &'c Contents<'a>, role: &'c Role<'c>, thing: &Row<'a>) -> Self {
        let mut this = Self { contents, role, facts: HashMap::new(), known: BTreeSet::new() };
        for (at, group) in contents.groups.iter().enumerate() {
            if thing.look(at) == Look::There {
                let present =
                    facts_of(group, thing.path).filter(|(_, seen)| matches!(seen, Observation::Present(_)));
                let facts: Vec<&str> = present.map(|(path, _)| path).collect();
                this.known.extend(&facts);
                this.facts.insert(at, facts);
            }
        }
        this
    }
}

impl Became for ThingBecame<'_, '_> {
    fn became(&self, at: u32) -> Timestamp {
        let node = self.role.node(at);
        let first_commit = node.since;
        match self.facts.get(&self.contents.group_of(at)) {
            Some(facts) => facts
                .iter()
                .map(|path| changed(node, path).unwrap_or(first_commit))
                .min()
                .unwrap_or(first_commit),
            None => self.known.iter().filter_map(|path| changed(node, path)).max().unwrap_or(first_commit),
        }
    }
    fn moved(&self) -> Cow<'_, RoaringBitmap> {
        let mut moved = RoaringBitmap::new();
        for places in self.known.iter().filter_map(|path| self.role.nodes.changed(path)) {
            places.add_to(&mut moved);
        }
        Cow::Owned(moved)
    }
}
