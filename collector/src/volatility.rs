//! Which facts keep changing by themselves, learned from what is taken in. A function of the journal: what counts are
//! the times of entries.
//!
//! A fact is quarantined while, within a day, at least three nodes changed it four times each: a rollout changes a fact
//! once or twice on a node, and somebody who tries something out does so on one. It is let out when it calms down.

use std::collections::{BTreeMap, HashMap, VecDeque};

use evenkeel_drift::report::Quarantined;
use evenkeel_facts::FactPath;
use evenkeel_store::checkpoint::Part;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// How far back changes count.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// How often one node has to change a fact.
const CHANGES: usize = 4;
/// How many nodes have to.
const NODES: usize = 3;
/// The most changes remembered; of more the oldest are forgotten, whatever their age.
const REMEMBERED: usize = 1_000_000;
/// The most changes of one part of a checkpoint.
const TOGETHER: usize = 1_000;

/// The changes of the last day.
#[derive(Debug, Default, Clone)]
pub struct Volatility {
    /// In the order in which they were taken in.
    recent: VecDeque<(Timestamp, Uuid, FactPath)>,
    /// How often each node changed a fact.
    counts: HashMap<FactPath, HashMap<Uuid, usize>>,
}

impl Volatility {
    /// A node changed a fact.
    pub fn note(&mut self, at: Timestamp, node: Uuid, path: &FactPath) {
        self.forget(at);
        self.recent.push_back((at, node, path.clone()));
        *self.counts.entry(path.clone()).or_default().entry(node).or_default() += 1;
        if self.recent.len() > REMEMBERED {
            self.forget_oldest();
        }
    }

    /// For checkpoints: what is remembered, in order.
    pub(crate) fn parts<E>(&self, each: &mut impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        let (first, second) = self.recent.as_slices();
        let all = first.iter().chain(second);
        let mut open: Option<(Timestamp, Uuid, Vec<String>)> = None;
        for (at, node, path) in all {
            match &mut open {
                Some((time, of, paths)) if (&*time, &*of) == (at, node) && paths.len() < TOGETHER => {
                    paths.push(path.to_string());
                }
                _ => {
                    let begun = (*at, *node, vec![path.to_string()]);
                    if let Some((at, node, paths)) = open.replace(begun) {
                        each(Part::Changes(at, node, paths))?;
                    }
                }
            }
        }
        open.map_or(Ok(()), |(at, node, paths)| each(Part::Changes(at, node, paths)))
    }

    /// Remembers one more, behind those that are.
    pub(crate) fn put(&mut self, at: Timestamp, node: Uuid, path: FactPath) {
        *self.counts.entry(path.clone()).or_default().entry(node).or_default() += 1;
        self.recent.push_back((at, node, path));
    }

    /// How many changes there were within a day before `now`.
    pub fn changes(&self, now: Timestamp) -> u64 {
        let begin = begin(now);
        self.recent.iter().filter(|(at, _, _)| *at > begin).count() as u64
    }

    /// What is quarantined at `now`, by path.
    pub fn quarantined(&self, now: Timestamp) -> BTreeMap<String, Quarantined> {
        let suspects = self.counts.iter().filter(|(_, nodes)| is_noisy(nodes.values().copied()));
        let suspects: Vec<&FactPath> = suspects.map(|(path, _)| path).collect();
        if suspects.is_empty() {
            return BTreeMap::new();
        }
        // Time went on since the last change, so some of what is counted may be too old.
        let begin = begin(now);
        let mut counts: BTreeMap<&FactPath, HashMap<Uuid, usize>> =
            suspects.into_iter().map(|path| (path, HashMap::new())).collect();
        for (_, node, path) in self.recent.iter().filter(|(at, _, _)| *at > begin) {
            if let Some(nodes) = counts.get_mut(path) {
                *nodes.entry(*node).or_default() += 1;
            }
        }
        let noisy = counts.into_iter().filter(|(_, nodes)| is_noisy(nodes.values().copied()));
        let one = |(path, nodes): (&FactPath, HashMap<Uuid, usize>)| {
            let changes = nodes.values().sum::<usize>() as u64;
            let quarantined = Quarantined { path: path.to_string(), changes, nodes: nodes.len() as u64 };
            (path.to_string(), quarantined)
        };
        noisy.map(one).collect()
    }

    /// When the first of the changes that count at `now` counts no more. Without new ones, what is quarantined and how many
    /// changes there were stays the same until before then; and what is not quarantined stays so for good.
    pub fn calmer_at(&self, now: Timestamp) -> Timestamp {
        let begin = begin(now);
        let first = self.recent.iter().map(|(at, _, _)| *at).filter(|at| *at > begin).min();
        first.and_then(|first| first.checked_add(WINDOW).ok()).unwrap_or(Timestamp::MAX)
    }

    fn forget(&mut self, now: Timestamp) {
        let begin = begin(now);
        while self.recent.front().is_some_and(|(at, _, _)| *at <= begin) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, node, path)) = self.recent.pop_front() else { return };
        let Some(nodes) = self.counts.get_mut(&path) else { return };
        if let Some(count) = nodes.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(&node);
            }
        }
        if nodes.is_empty() {
            self.counts.remove(&path);
        }
    }
}

fn begin(now: Timestamp) -> Timestamp {
    now.saturating_sub(WINDOW).unwrap_or(Timestamp::MIN)
}

fn is_noisy(counts: impl Iterator<Item = usize>) -> bool {
    counts.filter(|count| *count >= CHANGES).count() >= NODES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hour * 3600).unwrap()
    }

    fn seen(nodes: u128, times: i64) -> Volatility {
        let mut volatility = Volatility::default();
        let path = FactPath::known("sysctl.kernel.x");
        for time in 0..times {
            for node in 0..nodes {
                volatility.note(hour(time), Uuid::from_u128(node), &path);
            }
        }
        volatility
    }

    /// Promise: what keeps changing on many nodes is quarantined, and let out when it calms down.
    #[test]
    fn what_keeps_changing_is_quarantined_until_it_stops() {
        let volatility = seen(3, 4);
        let quarantined = volatility.quarantined(hour(4));
        let expected = Quarantined { path: "sysctl.kernel.x".into(), changes: 12, nodes: 3 };
        assert_eq!(quarantined.get("sysctl.kernel.x"), Some(&expected));
        assert_eq!(volatility.changes(hour(4)), 12);
        assert!(volatility.quarantined(hour(25)).is_empty());
    }

    /// Promise: a quarantine is as it was for as long as is said.
    #[test]
    fn a_quarantine_lasts_until_the_first_change_is_a_day_old() {
        let volatility = seen(3, 5);
        let until = volatility.calmer_at(hour(5));
        assert_eq!(until, hour(24));
        let said = |at| (volatility.quarantined(at), volatility.changes(at));
        assert_eq!(said(until - SignedDuration::from_nanos(1)), said(hour(5)));
        assert_ne!(said(until), said(hour(5)));
        assert_eq!((volatility.calmer_at(until), volatility.calmer_at(hour(50))), (hour(25), Timestamp::MAX));
    }

    #[test]
    fn a_rollout_or_one_busy_node_is_no_noise() {
        assert!(seen(100, 3).quarantined(hour(4)).is_empty());
        assert!(seen(2, 20).quarantined(hour(20)).is_empty());
    }

    #[test]
    fn what_is_over_costs_nothing() {
        let mut volatility = seen(3, 4);
        volatility.note(hour(100), Uuid::nil(), &FactPath::known("a"));
        assert_eq!((volatility.recent.len(), volatility.counts.len()), (1, 1));
    }
}
