//! What each receiver was told, as the journal has it.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_store::Entry;
use evenkeel_store::checkpoint::Part;
use evenkeel_store::entry::{Alerted, Told};
use jiff::Timestamp;

/// For so long a finding that is over is known, to say that it came back.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// What each receiver was told.
#[derive(Debug, Default, Clone)]
pub struct Log {
    receivers: BTreeMap<String, Known>,
}

/// What one receiver was told: findings by id.
pub type Known = BTreeMap<String, Last>;

/// What a receiver was told of a finding last.
#[derive(Debug, Clone, PartialEq)]
pub struct Last {
    /// What.
    pub told: Told,
    /// When.
    pub at: Timestamp,
}

impl Log {
    /// What a receiver was told.
    pub fn of(&self, receiver: &str) -> Known {
        self.receivers.get(receiver).cloned().unwrap_or_default()
    }

    /// Everybody who was ever told anything, and is not forgotten.
    pub fn receivers(&self) -> impl Iterator<Item = &str> {
        self.receivers.keys().map(String::as_str)
    }

    /// For checkpoints: what each receiver was told, in the order of time.
    pub(crate) fn parts<E>(&self, each: &mut impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        for (receiver, known) in &self.receivers {
            let mut at_once: BTreeMap<Timestamp, Vec<Told>> = BTreeMap::new();
            for Last { told, at } in known.values() {
                at_once.entry(*at).or_default().push(told.clone());
            }
            if at_once.is_empty() {
                // It was told something once, of which nothing is left.
                at_once.insert(Timestamp::UNIX_EPOCH, Vec::new());
            }
            for (at, told) in at_once {
                let alerted = Alerted { receiver: receiver.clone(), told, forgotten: false };
                each(Part::Entry(at, Entry::Alerted(alerted)))?;
            }
        }
        Ok(())
    }

    pub(crate) fn alerted(&mut self, Alerted { receiver, told, forgotten }: &Alerted, at: Timestamp) {
        if *forgotten {
            self.receivers.remove(receiver);
            return;
        }
        let known = self.receivers.entry(receiver.clone()).or_default();
        for told in told {
            known.insert(told.id.clone(), Last { told: told.clone(), at });
        }
        known.retain(|_, last| last.told.open || last.at + MEMORY > at);
    }
}
