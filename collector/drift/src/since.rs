//! Since when a difference is as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use crate::contents::Contents;
use crate::fleet::Node;
use crate::nodes::Set;
use crate::scope::Role;
use crate::spread::Spread;

/// When each node's state became what it is now.
pub(crate) trait Became {
    /// For one node (by place); never before its first commit.
    fn became(&self, place: u32) -> Timestamp;

    /// The nodes whose state may have become what it is after their first commit.
    fn moved(&self) -> Cow<'_, RoaringBitmap>;
}

/// One fact: when it changed last, or the node's first commit.
pub(crate) struct FactBecame<'a> {
    pub(crate) role: &'a Role<'a>,
    pub(crate) path: &'a str,
}

impl Became for FactBecame<'_> {
    fn became(&self, place: u32) -> Timestamp {
        let node = self.role.node(place);
        changed(node, self.path).unwrap_or(node.since)
    }

    fn moved(&self) -> Cow<'_, RoaringBitmap> {
        match self.role.nodes.changed(self.path) {
            Some(Set::Many(places)) => Cow::Borrowed(places),
            Some(Set::One(place)) => Cow::Owned(RoaringBitmap::from_iter([*place])),
            None => Cow::default(),
        }
    }
}

/// When a fact of a node changed last, if it did after the first commit.
pub(crate) fn changed(node: &Node, path: &str) -> Option<Timestamp> {
    if node.changed.is_empty() { None } else { node.changed.get(path).map(|at| (*at).max(node.since)) }
}

/// Since when the deviating nodes deviate: a node's own state and what it is held against must both have become
/// what they are. The earliest over the nodes.
pub(crate) fn since(became: &impl Became, deviating: &[u32], agreed: Option<Timestamp>) -> Option<Timestamp> {
    let first = deviating.iter().map(|node| became.became(*node)).min()?;
    Some(agreed.map_or(first, |agreed| first.max(agreed)))
}

/// When the nodes of one cohort became what they are. Most say what most say, and have said so since their first commit:
/// they are counted by that moment, and only the others are looked at one by one.
pub(crate) struct Moments<'a> {
    spread: &'a Spread,
    /// How many nodes were taken in first at each moment.
    known: &'a BTreeMap<Timestamp, u32>,
    /// The nodes that say something else than the base, or did not say it from the first commit on.
    special: Vec<Special>,
    /// How many of those were taken in first at each moment.
    special_known: BTreeMap<Timestamp, u32>,
}

struct Special {
    outcome: usize,
    since: Timestamp,
    became: Timestamp,
}

impl<'a> Moments<'a> {
    pub(crate) fn new(
        spread: &'a Spread,
        contents: &Contents<'_>,
        role: &Role<'a>,
        became: &impl Became,
        cohort: usize,
    ) -> Self {
        let mut outcomes: BTreeMap<u32, usize> = BTreeMap::new();
        for &(group, outcome) in spread.exceptions() {
            for (_, places) in contents.parts(group).filter(|(at, _)| *at == cohort) {
                outcomes.extend(places.iter().map(|place| (place, outcome)));
            }
        }
        let (moved, of) = (became.moved(), &role.cohorts[cohort]);
        if !moved.is_empty() {
            for place in &*moved & of.fresh() {
                outcomes.entry(place).or_insert(spread.base());
            }
        }
        let mut special_known: BTreeMap<Timestamp, u32> = BTreeMap::new();
        let special = outcomes.into_iter().map(|(place, outcome)| {
            let (since, became) = (role.node(place).since, became.became(place));
            *special_known.entry(since).or_default() += 1;
            Special { outcome, since, became }
        });
        let special = special.collect();
        Self { spread, known: of.known(), special, special_known }
    }

    /// How many nodes of no special kind were taken in first at each moment.
    fn plain(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        let all = self.known.iter().map(|(since, count)| {
            (*since, count - self.special_known.get(since).copied().unwrap_or_default())
        });
        all.filter(|(_, count)| *count > 0)
    }

    /// When the first of those that hold an outcome took it up.
    pub(crate) fn first(&self, outcome: usize) -> Option<Timestamp> {
        let plain = self.plain().next().filter(|_| self.spread.base() == outcome).map(|(since, _)| since);
        let special = self.special.iter().filter(|one| one.outcome == outcome).map(|one| one.became);
        special.chain(plain).min()
    }

    /// Since when the cohort agrees on an outcome: the earliest moment at which more than half of its nodes known by then
    /// (of those that can be read now) held it, and hold it still; for a consensus that is no majority, the moment the
    /// last of its holders took it up.
    pub(crate) fn agreed(&self, outcome: usize) -> Option<Timestamp> {
        let readable = |outcome: usize| self.spread.outcomes[outcome].what.is_readable();
        // At each moment: how many nodes become known, and how many take it up.
        let mut events: BTreeMap<Timestamp, [u32; 2]> = BTreeMap::new();
        for one in self.special.iter().filter(|one| readable(one.outcome)) {
            events.entry(one.since).or_default()[0] += 1;
            if one.outcome == outcome {
                events.entry(one.became).or_default()[1] += 1;
            }
        }
        let base = self.spread.base();
        let plain = self.plain().filter(|_| readable(base));
        let mut plain =
            plain.map(|(at, count)| (at, [count, if base == outcome { count } else { 0 }])).peekable();
        let mut special = events.into_iter().peekable();
        let (mut known, mut held, mut last) = (0, 0, None);
        loop {
            let next = match (plain.peek(), special.peek()) {
                (None, None) => return last,
                (Some((a, _)), Some((b, _))) if a == b => {
                    let (at, [known, taken]) = plain.next()?;
                    let (_, [more_known, more_taken]) = special.next()?;
                    Some((at, [known + more_known, taken + more_taken]))
                }
                (Some((a, _)), other) if other.is_none_or(|(b, _)| a < b) => plain.next(),
                _ => special.next(),
            };
            let (at, [newly_known, taken]) = next?;
            known += newly_known;
            held += taken;
            if taken > 0 {
                last = Some(at);
                if held * 2 > known {
                    return last;
                }
            }
        }
    }
}

/// Since when the nodes of a cohort disagree, whichever value has the most by now: the moment the second of the values was there.
pub(crate) fn disagreed(firsts: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    let mut firsts: Vec<Timestamp> = firsts.collect();
    firsts.sort_unstable();
    firsts.get(1).or(firsts.first()).copied()
}
