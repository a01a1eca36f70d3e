//! What could not be judged: said, counted, never guessed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use evenkeel_facts::{FactPath, Observation, Reason, Value};

use crate::contents::{Contents, Group};
use crate::fleet::Node;
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
    /// For each reason the nodes, as indices into `role.nodes`.
    reasons: BTreeMap<&'static str, Vec<usize>>,
}

/// An unknown whose nodes have not been named yet.
pub(crate) struct Draft {
    pub(crate) path: String,
    pub(crate) severity: Severity,
    reason: &'static str,
    pub(crate) nodes: Who,
}

/// Which nodes an unknown speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// All the stale nodes of this cohort, by index.
    Stale(usize),
    /// These fresh nodes: indices into `role.nodes`, ascending.
    Fresh(Vec<usize>),
}

impl Unknowns {
    /// Takes in one source.
    pub(crate) fn add(&mut self, contents: &Contents<'_>, rows: &[Row<'_>], policy: &Policy) {
        let readable: HashSet<&str> = rows.iter().filter(|row| row.readable).map(|row| row.path).collect();
        for (at, group) in contents.groups.iter().enumerate() {
            for (path, reason) in &group.unreadable {
                if *reason == Reason::Partial {
                    let severity = worst_hidden(at, path, rows, policy).unwrap_or(Severity::Info);
                    self.note(path, reason.as_str(), &group.nodes, || Some(severity));
                    self.raise(path, severity);
                    continue;
                }
                self.note(path, reason.as_str(), &group.nodes, || {
                    let verdict = policy.verdict(path);
                    // What no machine here has to look at could not have told anything, whatever it were.
                    let read = || rows.iter().any(|row| row.readable && covers(path, row.path));
                    if *reason == Reason::Unsupported && !read() {
                        return verdict.is_compared().then_some(Severity::Info);
                    }
                    let leaf = readable.contains(path);
                    let severity = if leaf { verdict.severity() } else { policy.worst_below(path) };
                    verdict.is_compared().then_some(severity)
                });
            }
            for (path, value) in unversioned(group) {
                let verdict = policy.verdict(path);
                if verdict.is_compared() && verdict.compare.canonical(value).is_none() {
                    self.note(path, UNVERSIONED, &group.nodes, || Some(verdict.severity()));
                }
            }
        }
        self.add_uncollected(contents, rows, policy);
    }

    /// What remains where no open finding speaks of it.
    pub(crate) fn finish(self, open: &HashSet<String>) -> Vec<Draft> {
        let drafts = self.by_path.into_iter().filter_map(|(path, mut doubt)| {
            let severity = doubt.severity?;
            // A node may have been noted for several gaps that roll up to one path.
            for nodes in doubt.reasons.values_mut() {
                nodes.sort_unstable();
                nodes.dedup();
            }
            // The reason of most nodes; of equals the first word.
            let reason =
                doubt.reasons.iter().rev().max_by_key(|(_, nodes)| nodes.len()).map(|(reason, _)| *reason)?;
            let nodes = union(doubt.reasons.into_values());
            Some(Draft { path, severity, reason, nodes: Who::Fresh(nodes) })
        });
        drafts.filter(|draft| !open.contains(&draft.path)).collect()
    }

    /// Nobody says anything of a path that somebody expects something of.
    pub(crate) fn nobody(&mut self, path: &str, severity: Severity, nodes: usize) {
        let nodes: Vec<usize> = (0..nodes).collect();
        self.note(path, Reason::NotCollected.as_str(), &nodes, || Some(severity));
        self.raise(path, severity);
    }

    fn note(
        &mut self,
        path: &str,
        reason: &'static str,
        nodes: &[usize],
        severity: impl FnOnce() -> Option<Severity>,
    ) {
        if let Some(doubt) = self.by_path.get_mut(path) {
            if doubt.severity.is_some() {
                doubt.reasons.entry(reason).or_default().extend(nodes);
            }
            return;
        }
        let severity = severity();
        let reasons =
            if severity.is_some() { BTreeMap::from([(reason, nodes.to_vec())]) } else { BTreeMap::new() };
        self.by_path.insert(path.to_owned(), Doubt { severity, reasons });
    }

    /// It is at least as bad as this.
    fn raise(&mut self, path: &str, severity: Severity) {
        if let Some(doubt) = self.by_path.get_mut(path) {
            doubt.severity = doubt.severity.max(Some(severity));
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
            let mut nodes: Vec<usize> =
                gap.groups.iter().flat_map(|at| contents.groups[*at].nodes.iter().copied()).collect();
            nodes.sort_unstable();
            let doubt = self.by_path.entry(gap.path).or_default();
            doubt.severity = doubt.severity.max(Some(gap.severity));
            doubt.reasons.entry(Reason::NotCollected.as_str()).or_default().extend(nodes);
        }
    }
}

/// The worst that a partly seen path may hide from a group: of the facts below it that others have and the group has
/// not noted. `None`: nobody knows anything that the group did not see.
fn worst_hidden(group: usize, path: &str, rows: &[Row<'_>], policy: &Policy) -> Option<Severity> {
    let hidden = |row: &&Row<'_>| {
        row.readable && covers(path, row.path) && row.look(group) == Look::Unreadable(Reason::Partial)
    };
    let verdicts = rows.iter().filter(hidden).map(|row| policy.verdict(row.path));
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

    /// With the names of the nodes.
    pub(crate) fn name(self, role: &Role<'_>) -> Unknown {
        let Self { path, severity, reason, nodes } = self;
        let nodes = match nodes {
            Who::Fresh(nodes) => role.names(nodes),
            Who::Stale(cohort) => names(&role.cohorts[cohort].stale),
        };
        Unknown { path, severity, role: role.name.to_owned(), reason: reason.to_owned(), nodes }
    }
}

fn names(nodes: &[&Node]) -> Vec<String> {
    let mut names: Vec<String> = nodes.iter().map(|node| node.name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Sorted lists as one.
fn union(mut lists: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    let first = lists.next().unwrap_or_default();
    lists.fold(first, |mut all, list| {
        all.extend(list);
        all.sort_unstable();
        all.dedup();
        all
    })
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

/// The facts of a group that say `(devel)`.
fn unversioned<'a>(group: &Group<'a>) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let facts = group.sections.iter().flat_map(|section| section.facts());
    facts.filter_map(|(path, seen)| match seen {
        Observation::Present(value @ Value::Text(text)) if text.starts_with("(devel)") => {
            Some((path.as_str(), value))
        }
        _ => None,
    })
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
