//! Which share of the facts known of a role can be told on each of its nodes.

use std::collections::BTreeMap;

use evenkeel_facts::Observation;

use crate::contents::{Contents, Same};
use crate::rows::{Look, Row, covers};

/// Facts counted over fresh nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Coverage {
    pub(crate) all: u64,
    pub(crate) unreadable: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: Self) {
        self.all += other.all;
        self.unreadable += other.unreadable;
    }

    /// The share that could be read, rounded down to three digits; 1 when there is nothing to read.
    pub(crate) fn share(self) -> f64 {
        let thousandths =
            (self.all - self.unreadable).saturating_mul(1000).checked_div(self.all).unwrap_or(1000);
        f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0
    }
}

/// Adds one source of one role, cohort by cohort.
///
/// What counts are the paths that some node of the role could read, and the unreadable ones with no such path below
/// them. Each fresh node is asked for each of them; "not there" is an answer.
pub(crate) fn count(
    contents: &Contents<'_>,
    same: &[Same<'_>],
    rows: &[Row<'_>],
    nodes: &[u64],
    coverage: &mut [Coverage],
) {
    let base = &contents.groups[0];
    let facts: usize = base.sections.iter().map(|section| section.facts().len()).sum();
    let gained: Vec<&str> =
        rows.iter().filter(|row| row.readable && !row.base_readable).map(|row| row.path).collect();
    let mut known = (facts - base.unreadable.len() + gained.len()) as u64;

    // Noted as unreadable by somebody, read by nobody: one fact, unless it stands for the readable ones below it.
    let by_path: BTreeMap<&str, &Row<'_>> = rows.iter().map(|row| (row.path, row)).collect();
    let noted = same.iter().flat_map(|same| &same.gaps.unreadable).map(|(path, _)| path.as_str());
    let mut unread: Vec<&str> = noted.collect();
    unread.sort_unstable();
    unread.dedup();
    let stands_for_others = |path: &str| {
        gained.iter().any(|other| other.len() > path.len() && covers(path, other))
            || has_below(contents, path)
    };
    let unreadable = |look: Look<'_>| matches!(look, Look::Unreadable(_));
    let count_row = |row: &Row<'_>, coverage: &mut [Coverage]| {
        if unreadable(row.base) {
            coverage.iter_mut().zip(nodes).for_each(|(coverage, nodes)| coverage.unreadable += nodes);
        }
        for (at, look) in &row.exceptions {
            match (unreadable(row.base), unreadable(*look)) {
                (true, false) => contents.parts(*at).for_each(|(cohort, places)| {
                    coverage[cohort].unreadable -= u64::from(places.len());
                }),
                (false, true) => contents.parts(*at).for_each(|(cohort, places)| {
                    coverage[cohort].unreadable += u64::from(places.len());
                }),
                (true, true) | (false, false) => {}
            }
        }
    };
    rows.iter().filter(|row| row.readable).for_each(|row| count_row(row, coverage));
    for path in unread {
        let row = by_path.get(path);
        if row.is_some_and(|row| row.readable) || stands_for_others(path) {
            continue;
        }
        known += 1;
        match row {
            Some(row) => count_row(row, coverage),
            None => coverage.iter_mut().zip(nodes).for_each(|(coverage, nodes)| coverage.unreadable += nodes),
        }
    }
    coverage.iter_mut().zip(nodes).for_each(|(coverage, nodes)| coverage.all += known * nodes);
}

/// Whether the base reads something below a path.
fn has_below(contents: &Contents<'_>, path: &str) -> bool {
    contents.groups[0].sections.iter().any(|section| {
        let start = section.facts().partition_point(|(at, _)| at.as_str() <= path);
        let mut near = section.facts()[start..].iter().take_while(|(at, _)| at.as_str().starts_with(path));
        near.any(|(at, seen)| covers(path, at.as_str()) && !matches!(seen, Observation::Unreadable(_)))
    })
}
