//! What could not be judged: said, counted, never guessed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use evenkeel_facts::{FactPath, Reason};
use roaring::RoaringBitmap;

use crate::contents::{Contents, Same};
use crate::policy::{Policy, Verdict};
use crate::report::{Severity, Unknown};
use crate::rows::{Look, Row, covers};
use crate::scope::Role;

/// The path that stands for everything: an environment without any fresh node.
pub const EVERYTHING: &str = "*";
/// The reason of an [`Unknown`] when an environment has nodes of a role and none of them is fresh.
pub const STALE: &str = "stale";
/// The reason when a program does not know its own version (`(devel)`).
pub const UNVERSIONED: &str = "unversioned";

/// What could not be judged in one role.
#[derive(Default)]
pub(crate) struct Unknowns {
    by_path: BTreeMap<String, Doubt>,
}

#[derive(Default)]
struct Doubt {
    severity: Option<Severity>,
    /// For each reason the nodes.
    reasons: BTreeMap<&'static str, RoaringBitmap>,
}

/// An unknown whose nodes have not been named yet.
pub(crate) struct Draft {
    pub(crate) path: String,
    pub(crate) severity: Severity,
    reason: &'static str,
    pub(crate) nodes: Who,
}

/// Which nodes an unknown speaks of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Who {
    /// All the stale nodes of this cohort, by index.
    Stale(usize),
    /// These fresh nodes.
    Fresh(RoaringBitmap),
}

impl Unknowns {
    /// Takes in one source.
    pub(crate) fn add(
        &mut self,
        contents: &Contents<'_>,
        same: &[Same<'_>],
        rows: &[Row<'_>],
        policy: &Policy,
    ) {
        let readable: HashSet<&str> = rows.iter().filter(|row| row.readable).map(|row| row.path).collect();
        for Same { gaps, groups, nodes } in same {
            for (path, reason) in &gaps.unreadable {
                let path = path.as_str();
                let verdict = policy.verdict(path);
                if !verdict.is_compared() {
                    continue;
                }
                // What no machine here has to look at could not have told anything, whatever it were.
                let read = || rows.iter().any(|row| row.readable && covers(path, row.path));
                let severity = match reason {
                    Reason::Partial => worst_hidden(groups, path, rows, policy).unwrap_or(Severity::Info),
                    Reason::Unsupported if !read() => Severity::Info,
                    _ if readable.contains(path) => verdict.severity(),
                    _ => policy.worst_below(path),
                };
                self.note(path, reason.as_str(), nodes, severity);
            }
            for (path, value) in &gaps.unversioned {
                let path = path.as_str();
                let verdict = policy.verdict(path);
                if verdict.is_compared() && verdict.compare.canonical(value).is_none() {
                    self.note(path, UNVERSIONED, nodes, verdict.severity());
                }
            }
        }
        self.add_uncollected(contents, rows, policy);
    }

    /// What remains where no open finding speaks of it.
    pub(crate) fn finish(self, open: &HashSet<String>) -> Vec<Draft> {
        let drafts = self.by_path.into_iter().filter_map(|(path, doubt)| {
            let severity = doubt.severity?;
            // The reason of most nodes; of equals the first word.
            let reason =
                doubt.reasons.iter().rev().max_by_key(|(_, nodes)| nodes.len()).map(|(reason, _)| *reason)?;
            let nodes = doubt.reasons.into_values().reduce(|all, nodes| all | nodes)?;
            Some(Draft { path, severity, reason, nodes: Who::Fresh(nodes) })
        });
        drafts.filter(|draft| !open.contains(&draft.path)).collect()
    }

    /// Nobody says anything of a path that somebody expects something of.
    pub(crate) fn nobody(&mut self, path: &str, severity: Severity, role: &Role<'_>) {
        let nodes = role.fresh().collect();
        self.note(path, Reason::NotCollected.as_str(), &nodes, severity);
    }

    /// The worst of all groups counts, whichever comes first.
    fn note(&mut self, path: &str, reason: &'static str, nodes: &RoaringBitmap, severity: Severity) {
        if !self.by_path.contains_key(path) {
            self.by_path.insert(path.to_owned(), Doubt::default());
        }
        if let Some(doubt) = self.by_path.get_mut(path) {
            doubt.severity = doubt.severity.max(Some(severity));
            *doubt.reasons.entry(reason).or_default() |= nodes;
        }
    }

    /// Facts that some nodes send and others do not, rolled up to the longest path that covers them all.
    fn add_uncollected(&mut self, contents: &Contents<'_>, rows: &[Row<'_>], policy: &Policy) {
        let uncollected = |look: Look<'_>| look == Look::Unreadable(Reason::NotCollected);
        let mut gaps: BTreeMap<(&str, &str), Gap> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.readable) {
            let groups: Vec<usize> = if uncollected(row.base) {
                (0..contents.groups.len()).filter(|at| uncollected(row.look(*at))).collect()
            } else {
                row.exceptions.iter().filter(|(_, look)| uncollected(*look)).map(|(at, _)| *at).collect()
            };
            let verdict = policy.verdict(row.path);
            if groups.is_empty() || !verdict.is_compared() {
                continue;
            }
            let head = &row.path[..row.path.find(['.', '[']).unwrap_or(row.path.len())];
            let gap = gaps.entry((row.homes[0], head)).or_insert_with(|| Gap::new(row.path));
            gap.widen(row.path, verdict.severity(), groups);
        }
        for gap in gaps.into_values() {
            let mut nodes = RoaringBitmap::new();
            for (_, places) in gap.groups.iter().flat_map(|at| contents.parts(*at)) {
                places.add_to(&mut nodes);
            }
            let doubt = self.by_path.entry(gap.path).or_default();
            doubt.severity = doubt.severity.max(Some(gap.severity));
            *doubt.reasons.entry(Reason::NotCollected.as_str()).or_default() |= nodes;
        }
    }
}

/// The worst that a partly seen path may hide from one of these groups (ascending): of the facts below it that others have
/// and the group has not noted. `None`: nobody knows anything that they did not see.
fn worst_hidden(groups: &[usize], path: &str, rows: &[Row<'_>], policy: &Policy) -> Option<Severity> {
    let partial = |look: &Look<'_>| *look == Look::Unreadable(Reason::Partial);
    let hidden = |row: &&Row<'_>| {
        let own = row.exceptions.iter().filter(|(at, _)| groups.binary_search(at).is_ok());
        let (mut count, mut is_hidden) = (0, false);
        own.for_each(|(_, look)| (count, is_hidden) = (count + 1, is_hidden || partial(look)));
        is_hidden || (partial(&row.base) && count < groups.len())
    };
    let below = rows.iter().filter(|row| row.readable && covers(path, row.path)).filter(hidden);
    let verdicts = below.map(|row| policy.verdict(row.path));
    verdicts.filter(Verdict::is_compared).map(|verdict| verdict.severity()).max()
}

impl Draft {
    /// A cohort without any fresh node.
    pub(crate) fn stale(cohort: usize) -> Self {
        Self {
            path: EVERYTHING.to_owned(),
            severity: Severity::Critical,
            reason: STALE,
            nodes: Who::Stale(cohort),
        }
    }

    /// The cohort whose nodes are all stale, if it speaks of one.
    pub(crate) fn stale_cohort(&self) -> Option<usize> {
        match &self.nodes {
            Who::Stale(cohort) => Some(*cohort),
            Who::Fresh(_) => None,
        }
    }

    /// With the names of the nodes.
    pub(crate) fn name(self, role: &Role<'_>) -> Unknown {
        let Self { path, severity, reason, nodes } = self;
        let nodes = match nodes {
            Who::Fresh(nodes) => role.list(nodes),
            Who::Stale(cohort) => role.names(role.cohorts[cohort].stale()).into(),
        };
        Unknown { path, severity, role: role.name.to_owned(), reason: reason.to_owned(), nodes }
    }
}

struct Gap {
    path: String,
    severity: Severity,
    groups: BTreeSet<usize>,
}

impl Gap {
    fn new(path: &str) -> Self {
        Self { path: path.to_owned(), severity: Severity::Info, groups: BTreeSet::new() }
    }

    fn widen(&mut self, path: &str, severity: Severity, groups: Vec<usize>) {
        self.path = common(&self.path, path).to_owned();
        self.severity = self.severity.max(severity);
        self.groups.extend(groups);
    }
}

/// The longest path that covers both of two paths with the same first name.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    if a == b {
        return a;
    }
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let boundary = |text: &str, at: usize| matches!(text.as_bytes().get(at), None | Some(b'.' | b'['));
    (1..=same)
        .rev()
        .filter(|at| a.is_char_boundary(*at) && boundary(a, *at) && boundary(b, *at))
        .map(|at| &a[..at])
        .find(|path| FactPath::new(path).is_ok())
        .unwrap_or(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_covers_both() {
        for (a, b, expected) in [
            ("go.program[github.com/a].x", "go.program[github.com/b].y", "go.program"),
            ("sysctl.net.core.a", "sysctl.net.ipv4.b", "sysctl.net"),
            ("sysctl.net.core", "sysctl.net.core.b", "sysctl.net.core"),
            ("time.zone", "time.zone", "time.zone"),
            ("go.version", "go.env.X", "go"),
            ("go.program[x].a", "go.program[x].b", "go.program[x]"),
        ] {
            assert_eq!(common(a, b), expected, "{a} {b}");
        }
    }
}
