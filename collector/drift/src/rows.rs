//! The facts of one source that are not the same on all nodes of a role, and what each group of nodes says of them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{FactPath, Observation, Reason, Section, Value};

use crate::contents::{Contents, Group};
use crate::nodes::Deviation;

/// What a group of nodes says of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look<'a> {
    Present(&'a Value),
    /// A thing, not a fact: something is known of it.
    There,
    Absent,
    Unreadable(Reason),
    /// It speaks of a thing that is not there at all: the thing is missing, not this fact of it.
    Inapplicable,
}

/// One path that some groups see differently from the base.
#[derive(Clone)]
pub(crate) struct Row<'a> {
    pub(crate) path: &'a str,
    /// What the base says (group 0), and every group that is no exception.
    pub(crate) base: Look<'a>,
    /// By group, ascending.
    pub(crate) exceptions: Vec<(usize, Look<'a>)>,
    /// The names of the sections that note the path on some node, in order.
    pub(crate) homes: Vec<&'a str>,
    /// Whether some node could read it: present, or looked for and not there.
    pub(crate) readable: bool,
    /// Whether the base itself could.
    pub(crate) base_readable: bool,
}

impl<'a> Row<'a> {
    /// What a group says.
    pub(crate) fn look(&self, group: usize) -> Look<'a> {
        self.exceptions
            .binary_search_by_key(&group, |(at, _)| *at)
            .map_or(self.base, |at| self.exceptions[at].1)
    }
}

/// Every path of the source that is not noted equally by all groups, in no order.
pub(crate) fn rows<'a>(contents: &Contents<'a>) -> Vec<Row<'a>> {
    let (base, others) = contents.groups.split_first().expect("a source has the groups that note it");
    let mut drafts = Drafts::default();
    for (at, group) in others.iter().enumerate() {
        match group.deviations {
            Some(deviations) => drafts.known(at + 1, deviations, base.sections, group.sections),
            None => drafts.deviations(at + 1, base.sections, group.sections),
        }
    }
    let odd: Vec<usize> = (1..contents.groups.len()).filter(|at| contents.groups[*at].is_odd).collect();
    drafts.rows.into_values().map(|draft| draft.resolve(contents, &odd)).collect()
}

#[derive(Default)]
struct Drafts<'a> {
    rows: HashMap<&'a str, Draft<'a>>,
}

struct Draft<'a> {
    path: &'a str,
    homes: Vec<&'a str>,
    base: Option<&'a Observation>,
    /// By group, ascending; `None`: the group notes nothing.
    noted: Vec<(usize, Option<&'a Observation>)>,
}

type Fact = (FactPath, Observation);

impl<'a> Drafts<'a> {
    /// Notes what is known to deviate.
    fn known(
        &mut self,
        group: usize,
        deviations: &[Deviation],
        base: &'a [Arc<Section>],
        own: &'a [Arc<Section>],
    ) {
        for deviation in deviations {
            let left = deviation.base.map(|spot| spot.of(base));
            let right = deviation.own.map(|spot| spot.of(own));
            let Some((section, (path, _))) = left.or(right) else { continue };
            let seen = |fact: Option<(&'a Section, &'a Fact)>| fact.map(|(_, (_, seen))| seen);
            self.note(group, section.name(), path, seen(left), seen(right));
        }
    }

    /// Walks the sections of the base and of a group side by side, by name.
    fn deviations(&mut self, group: usize, base: &'a [Arc<Section>], own: &'a [Arc<Section>]) {
        let (mut b, mut o) = (base.iter().peekable(), own.iter().peekable());
        loop {
            let (left, right) = match (b.peek(), o.peek()) {
                (None, None) => return,
                (Some(_), None) => (b.next(), None),
                (None, Some(_)) => (None, o.next()),
                (Some(x), Some(y)) => match x.name().cmp(y.name()) {
                    Ordering::Less => (b.next(), None),
                    Ordering::Greater => (None, o.next()),
                    Ordering::Equal => (b.next(), o.next()),
                },
            };
            match (left, right) {
                (Some(x), Some(y)) if Arc::ptr_eq(x, y) => {}
                _ => self.section(group, left.map(|x| &**x), right.map(|x| &**x)),
            }
        }
    }

    /// Walks the facts of two sections of the same name side by side, by path.
    fn section(&mut self, group: usize, base: Option<&'a Section>, own: Option<&'a Section>) {
        let Some(home) = base.or(own).map(Section::name) else { return };
        let facts = |section: Option<&'a Section>| section.map_or::<&'a [Fact], _>(&[], Section::facts);
        let (mut left, mut right) = (facts(base), facts(own));
        while let Some(((lpath, lseen), (rpath, rseen))) = left.first().zip(right.first()) {
            match lpath.cmp(rpath) {
                Ordering::Less => {
                    self.note(group, home, lpath, Some(lseen), None);
                    left = &left[1..];
                }
                Ordering::Greater => {
                    self.note(group, home, rpath, None, Some(rseen));
                    right = &right[1..];
                }
                Ordering::Equal => {
                    if lseen != rseen {
                        self.note(group, home, lpath, Some(lseen), Some(rseen));
                    }
                    (left, right) = (&left[1..], &right[1..]);
                }
            }
        }
        for (path, seen) in left {
            self.note(group, home, path, Some(seen), None);
        }
        for (path, seen) in right {
            self.note(group, home, path, None, Some(seen));
        }
    }

    fn note(
        &mut self,
        group: usize,
        home: &'a str,
        path: &'a FactPath,
        base: Option<&'a Observation>,
        own: Option<&'a Observation>,
    ) {
        let path = path.as_str();
        let row = self.rows.entry(path).or_insert_with(|| Draft {
            path,
            homes: vec![home],
            base: None,
            noted: Vec::new(),
        });
        if !row.homes.contains(&home) {
            row.homes.push(home);
        }
        row.base = row.base.or(base);
        row.noted.push((group, own));
    }
}

impl<'a> Draft<'a> {
    fn resolve(mut self, contents: &Contents<'a>, odd: &[usize]) -> Row<'a> {
        self.homes.sort_unstable();
        if self.homes.len() > 1 {
            // The path moved from one section to another: ask every group anew.
            self.base = contents.groups[0].find(self.path);
            self.noted =
                (1..contents.groups.len()).map(|at| (at, contents.groups[at].find(self.path))).collect();
        } else if self.base.is_none() {
            let extra: Vec<usize> = odd
                .iter()
                .copied()
                .filter(|at| self.noted.binary_search_by_key(at, |(group, _)| *group).is_err())
                .collect();
            self.noted.extend(extra.into_iter().map(|at| (at, None)));
            self.noted.sort_unstable_by_key(|(group, _)| *group);
        }
        let is_readable = |noted: Option<&Observation>| {
            matches!(noted, Some(Observation::Present(_) | Observation::Absent))
        };
        let base_readable = is_readable(self.base);
        let readable = base_readable || self.noted.iter().any(|(_, noted)| is_readable(*noted));
        let look = |at: usize, noted| resolve(contents, at, self.path, &self.homes, noted);
        let base = look(0, self.base);
        let exceptions = self.noted.iter().map(|(at, noted)| (*at, look(*at, *noted)));
        let exceptions = exceptions.filter(|(_, look)| *look != base).collect();
        Row { path: self.path, base, exceptions, homes: self.homes, readable, base_readable }
    }
}

/// What a group means by what it notes of a path, or by noting nothing.
pub(crate) fn resolve<'a>(
    contents: &Contents<'a>,
    group: usize,
    path: &str,
    homes: &[&str],
    noted: Option<&'a Observation>,
) -> Look<'a> {
    let group = &contents.groups[group];
    match noted {
        Some(Observation::Present(value)) => Look::Present(value),
        Some(Observation::Absent) => Look::Absent,
        Some(Observation::Unreadable(reason)) => Look::Unreadable(*reason),
        None => match covering(group, path) {
            Some((_, reason)) => Look::Unreadable(reason),
            None if group.has(contents.source) || homes.iter().any(|home| group.has(home)) => Look::Absent,
            None => Look::Unreadable(Reason::NotCollected),
        },
    }
}

/// The outermost path above this one that the group could not read.
pub(crate) fn covering<'a>(group: &Group<'a>, path: &str) -> Option<(&'a str, Reason)> {
    let above = group.unreadable.iter().map(|(at, reason)| (at.as_str(), *reason));
    above.filter(|(at, _)| *at != path && covers(at, path)).min_by_key(|(at, _)| at.len())
}

/// [`FactPath::covers`] for texts that are known to be paths.
pub(crate) fn covers(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
