//! What is to be delivered: the newest state, its place in the node's history, and what the collector is known to hold.
//! Knows no network and looks at nothing: the daemon drives it, and so does a simulation.

use std::sync::Arc;

use evenkeel_facts::author::MAX_AUTHORS;
use evenkeel_facts::{Author, Digest, Section, Snapshot};
use evenkeel_proto::commits::Base;
use evenkeel_runtime::exit;
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::seeded::{self, Bug};
use tracing::{info, warn};

use crate::home::Home;

/// Where in the node's history a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counts the starts of the agent.
    pub boot_epoch: u64,
    /// Counts the commits within.
    pub sequence: u64,
}

/// What is to be delivered, and what was.
#[derive(Debug)]
pub struct Delivery {
    home: Home,
    /// Of the newest snapshot that is not the acknowledged one, or of that.
    place: Place,
    /// The root of what the collector holds durably.
    acknowledged: Option<Digest>,
    /// The state that the collector acknowledged last, if it still holds it: what changed since is named against it.
    base: Option<Base>,
    newest: Option<Snapshot>,
    /// Those who wrote since the acknowledged state.
    wrote: Vec<Author>,
}

impl Delivery {
    /// Counts this start.
    pub fn begin(home: Home) -> Result<Self, FileError> {
        let place = Place { boot_epoch: home.next_boot_epoch(0)?, sequence: 0 };
        Ok(Self { home, place, acknowledged: None, base: None, newest: None, wrote: Vec::new() })
    }

    /// What an earlier run could not deliver comes first: it is part of the node's history. Whether there is something.
    pub fn take_up_pending(&mut self) -> Result<bool, FileError> {
        let Some(pending) = self.home.pending()? else { return Ok(false) };
        self.place.sequence += 1;
        self.newest = Some(pending);
        Ok(true)
    }

    /// Where the newest snapshot stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The newest snapshot, if there is one.
    pub fn newest(&self) -> Option<&Snapshot> {
        self.newest.as_ref()
    }

    /// Takes the newest snapshot away: another comes, or what was seen before is not what is.
    pub fn take_newest(&mut self) -> Option<Snapshot> {
        self.newest.take()
    }

    /// The state that what changed is named against.
    pub fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// Those who wrote since the acknowledged state.
    pub fn wrote(&self) -> &[Author] {
        &self.wrote
    }

    /// Whether the collector may not hold the newest state.
    pub fn has_news(&self) -> bool {
        self.newest.as_ref().is_some_and(|newest| self.acknowledged != Some(newest.root()))
    }

    /// The machine is this now, where it was `old`; `replaced` are sections that it had before. A new state is kept on
    /// disk before anything is sent; a disk that takes no writes is said, and the report goes out all the same.
    pub fn saw(
        &mut self,
        old: Option<Digest>,
        snapshot: Snapshot,
        replaced: Vec<Section>,
        wrote: Vec<Author>,
    ) {
        if let Some(base) = &mut self.base {
            for section in replaced {
                base.replace(Arc::new(section));
            }
        }
        let root = snapshot.root();
        if self.acknowledged != Some(root) {
            self.wrote.retain(|earlier| wrote.iter().all(|author| author.path != earlier.path));
            self.wrote.extend(wrote);
            self.wrote.drain(..self.wrote.len().saturating_sub(MAX_AUTHORS));
        }
        if old != Some(root) && self.acknowledged != Some(root) {
            self.place.sequence += u64::from(!seeded::has(Bug::SequenceReused) || self.place.sequence == 0);
            // The collector may hold what was sent last without our knowing: only the next answer tells.
            if !seeded::has(Bug::AcknowledgedKept) {
                self.acknowledged = None;
            }
            if let Err(error) = self.home.keep_pending(&snapshot) {
                let error = exit::chain(&error);
                warn!(error, "The state is not kept on disk: it would be lost with this process.");
            }
        }
        self.newest = Some(snapshot);
    }

    /// The node has another role: that is news, whatever else is not.
    pub fn relabelled(&mut self, role: &str) {
        let Some(newest) = &mut self.newest else { return };
        role.clone_into(&mut newest.role);
        self.place.sequence += 1;
        self.acknowledged = None;
        self.base = None;
    }

    /// The newest state is about to be sent.
    pub fn sending(&self) {
        if seeded::has(Bug::ForgottenBeforeAck) {
            let _ = self.home.forget_pending();
        }
    }

    /// The collector holds the newest state durably. Whether that was news.
    pub fn acknowledged(&mut self) -> bool {
        let Some(snapshot) = &self.newest else { return false };
        let root = snapshot.root();
        if self.acknowledged == Some(root) {
            return false;
        }
        info!(%root, sequence = self.place.sequence, "State acknowledged.");
        self.acknowledged = Some(root);
        self.wrote.clear();
        self.base = Some(Base::new(snapshot.section_digests()));
        if let Err(error) = self.home.forget_pending() {
            warn!(error = exit::chain(&error), "The acknowledged snapshot was not removed.");
        }
        true
    }

    /// The collector has heard of a later boot epoch: goes on above it. The new one.
    pub fn behind(&mut self, heard: u64) -> Result<u64, FileError> {
        let boot_epoch = self.home.next_boot_epoch(heard)?;
        self.place = Place { boot_epoch, sequence: 1 };
        Ok(boot_epoch)
    }
}
