//! What the groups of one source say of a path, whether they agree or not.

use std::collections::HashMap;

use evenkeel_facts::Observation;

use crate::contents::Contents;
use crate::rows::{Look, Row};

/// One source: its contents, and its rows by path.
pub(crate) struct Lookup<'c, 'a> {
    pub(crate) contents: &'c Contents<'a>,
    rows: &'c [Row<'a>],
    by_path: HashMap<&'a str, usize>,
}

impl<'c, 'a> Lookup<'c, 'a> {
    pub(crate) fn new(contents: &'c Contents<'a>, rows: &'c [Row<'a>]) -> Self {
        let by_path = rows.iter().enumerate().map(|(at, row)| (row.path, at)).collect();
        Self { contents, rows, by_path }
    }

    /// What is said of a path; `None` when no group notes it.
    pub(crate) fn row(&self, path: &str) -> Option<Row<'a>> {
        if let Some(at) = self.by_path.get(path) {
            return Some(self.rows[*at].clone());
        }
        let base = &self.contents.groups[0];
        base.sections.iter().find_map(|section| {
            let facts = section.facts();
            let at = facts.binary_search_by(|(own, _)| own.as_str().cmp(path)).ok()?;
            let (path, seen) = &facts[at];
            Some(Row::agreed(path.as_str(), seen, section.name()))
        })
    }

    /// Every path that some group notes, that begins with `prefix` and is wanted, in order.
    pub(crate) fn paths(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let base = &self.contents.groups[0];
        let sections = base.sections.iter().flat_map(|section| {
            let facts = section.facts();
            let start = facts.partition_point(|(path, _)| path.as_str() < prefix);
            facts[start..].iter().map(|(path, _)| path.as_str()).take_while(|path| path.starts_with(prefix))
        });
        let rows = self.rows.iter().map(|row| row.path).filter(|path| path.starts_with(prefix));
        let mut paths: Vec<&str> = sections.chain(rows).filter(|path| wanted(path)).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl<'a> Row<'a> {
    /// A path of which all groups say what the base notes.
    pub(crate) fn agreed(path: &'a str, seen: &'a Observation, home: &'a str) -> Self {
        let look = match seen {
            Observation::Present(value) => Look::Present(value),
            Observation::Absent => Look::Absent,
            Observation::Unreadable(reason) => Look::Unreadable(*reason),
        };
        let readable = !matches!(look, Look::Unreadable(_));
        Row { path, base: look, exceptions: Vec::new(), homes: vec![home], readable, base_readable: readable }
    }
}
