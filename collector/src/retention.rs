//! What the journal keeps: a checkpoint of the state now and then, and what is older than asked for cut off behind one.
//!
//! A report of the past is the nearest checkpoint before it and the entries from there on, so nothing within the age that is
//! kept is ever said otherwise; a start is the newest checkpoint and what came since. A checkpoint counts only after it was
//! read back and has given the same state.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_runtime::exit;
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_store::checkpoint::Part;
use evenkeel_store::{Checkpoint, Reader, StoreError, Writer};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{error, info, warn};

use crate::changes::Lost;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;

/// So many entries without a checkpoint are replayed at a start without much ado.
const ENTRIES: u64 = 20_000;
/// Into so many stretches the age, and the number of entries, is divided: at most one of them more than asked for is kept.
const STRETCHES: u32 = 8;
/// How often is looked, unless the age is short.
const PERIOD: Duration = Duration::from_secs(60);
/// For so long after the start nothing is cut off.
const SETTLED: Duration = Duration::from_secs(60 * 60);
/// Rows that one transaction of upkeep touches: between two of them the ledger takes what waits.
const STEP: usize = 1_000;
/// Pages that one transaction gives back to the file system.
const PAGES: u32 = 256;

/// How much of the past is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What is older than this may be forgotten; 0: nothing is. What nodes are now, what is signed off, baselines and the
    /// audit are kept in any case.
    #[serde(deserialize_with = "evenkeel_runtime::duration::deserialize")]
    pub age: Duration,
    /// So many entries of the journal are kept for each node of the fleet, also where they are younger than that; 0: as many
    /// as there are.
    pub entries_per_node: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(90 * 24 * 60 * 60), entries_per_node: 10_000 }
    }
}

impl Retention {
    /// The error is a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.age.is_zero() || self.age >= Duration::from_secs(1) {
            Ok(())
        } else {
            Err("retention.age: at least one second, or 0s to keep everything".to_owned())
        }
    }

    /// How far apart checkpoints are that stay.
    fn stretch(&self) -> Option<Duration> {
        (!self.age.is_zero()).then(|| self.age / STRETCHES)
    }

    /// How many entries are kept of so many nodes.
    fn most(&self, nodes: u64) -> u64 {
        match self.entries_per_node {
            0 => u64::MAX,
            each => each.saturating_mul(nodes.max(1)),
        }
    }
}

/// Upkeep failed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A checkpoint says something else than the state that it was made of.
    #[error("a checkpoint after entry {0} does not give its state back: it is not used")]
    Different(u64),
}

/// Looks now and then until the end.
pub async fn run(
    retention: Retention,
    ledger: Ledger,
    reader: Reader,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) {
    let shortest = Duration::from_millis(100);
    let period = retention.stretch().map_or(PERIOD, |each| (each / 2).clamp(shortest, PERIOD));
    // Not while everybody comes back after a start.
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut upkeep = Upkeep::new(retention, ledger, reader, metrics);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        // On a thread of its own: it reads a lot.
        let done = tokio::task::spawn_blocking(move || {
            let result = upkeep.look();
            (upkeep, result)
        });
        let Ok((again, result)) = done.await else { return };
        upkeep = again;
        match result {
            Ok(()) | Err(RetentionError::Ledger(LedgerError::Closed)) => {}
            Err(error) => {
                error!(error = exit::chain(&error), "The journal was not tidied up; all of it stays.");
            }
        }
    }
}

/// Keeps the journal in shape.
pub struct Upkeep {
    retention: Retention,
    ledger: Ledger,
    reader: Reader,
    metrics: Arc<Metrics>,
    /// Whether nothing is left that was begun before.
    is_tidy: bool,
    began: std::time::Instant,
    /// For so long after that nothing is cut off: a clock that was wrong when the machine started is right by then.
    settled: Duration,
    /// Whether it was said that entries are too many.
    is_said: bool,
}

impl Upkeep {
    /// Over this ledger; not on a thread that has to answer others.
    pub fn new(retention: Retention, ledger: Ledger, reader: Reader, metrics: Arc<Metrics>) -> Self {
        let settled = retention.stretch().map_or(SETTLED, |stretch| stretch.min(SETTLED));
        let began = std::time::Instant::now();
        Self { retention, ledger, reader, metrics, is_tidy: false, began, settled, is_said: false }
    }

    /// Does what there is to do now.
    pub fn look(&mut self) -> Result<(), RetentionError> {
        let now = self.ledger.now().1;
        let checkpoints = self.reader.checkpoints()?;
        let made = if self.is_due(&checkpoints, now)? { self.checkpoint() } else { Ok(()) };
        // What was written of one that failed is taken away again, and what is old is cut off all the same.
        self.is_tidy &= made.is_ok();
        let checkpoints = self.reader.checkpoints()?;
        let begin = self.begin(&checkpoints, now);
        if let Some(begin) = begin.filter(|begin| self.reader.base().is_ok_and(|base| base < *begin)) {
            self.is_tidy = false;
            if !self.is_said && self.begin_by_age(&checkpoints, now).is_none_or(|by_age| by_age < begin) {
                self.is_said = true;
                let most = self.retention.entries_per_node;
                warn!(
                    entries_per_node = most,
                    begin, "The journal has more entries than are kept: the oldest go."
                );
            }
            self.ask(move |writer| writer.begin_at(begin))?;
        }
        let dropped = self.superfluous(&checkpoints, begin);
        for position in &dropped {
            self.ask({
                let position = *position;
                move |writer| writer.drop_checkpoint(position)
            })?;
        }
        if !dropped.is_empty() || !self.is_tidy {
            self.is_tidy = false;
            self.tidy()?;
            self.is_tidy = true;
        }
        self.tell()?;
        made
    }

    /// The last entry, and how many nodes there are.
    fn fleet(&self) -> (u64, u64) {
        let state = self.ledger.state();
        (state.journal, state.nodes().count() as u64)
    }

    /// Whether there are many entries, or a stretch of time, behind the newest checkpoint.
    fn is_due(&self, checkpoints: &[Checkpoint], now: Timestamp) -> Result<bool, RetentionError> {
        let (position, nodes) = self.fleet();
        let newest = checkpoints.last();
        let behind = position.saturating_sub(newest.map_or(0, |newest| newest.position));
        let since = match newest {
            Some(newest) => Some(newest.at),
            None => self.reader.begin()?,
        };
        let is_old = self.retention.stretch().zip(since).is_some_and(|(stretch, since)| {
            now.duration_since(since).unsigned_abs() >= stretch && now > since
        });
        Ok(behind >= ENTRIES.max(nodes) || behind > 0 && is_old)
    }

    /// The newest checkpoint that is old enough, or has enough entries behind it, for the journal to begin behind it.
    fn begin(&self, checkpoints: &[Checkpoint], now: Timestamp) -> Option<u64> {
        if self.began.elapsed() < self.settled {
            return None;
        }
        let (position, nodes) = self.fleet();
        let enough = |checkpoint: &&Checkpoint| position - checkpoint.position >= self.retention.most(nodes);
        let by_count = checkpoints.iter().rfind(enough).map(|checkpoint| checkpoint.position);
        by_count.max(self.begin_by_age(checkpoints, now))
    }

    fn begin_by_age(&self, checkpoints: &[Checkpoint], now: Timestamp) -> Option<u64> {
        self.retention.stretch()?;
        let last = now.saturating_sub(self.retention.age).ok()?;
        Some(checkpoints.iter().rfind(|checkpoint| checkpoint.at <= last)?.position)
    }

    /// The checkpoints that nothing needs: those before the journal's begin, and those between two that are near each other.
    fn superfluous(&self, checkpoints: &[Checkpoint], begin: Option<u64>) -> Vec<u64> {
        let is_before = |checkpoint: &Checkpoint| begin.is_some_and(|begin| checkpoint.position < begin);
        let (before, rest) = checkpoints.split_at(checkpoints.partition_point(is_before));
        let mut superfluous: Vec<u64> = before.iter().map(|checkpoint| checkpoint.position).collect();
        let Some((first, rest)) = rest.split_first() else { return superfluous };
        let Some((_newest, between)) = rest.split_last() else { return superfluous };
        // As far apart as a stretch is long; without an age, each twice as many entries as the one before.
        let most = self.retention.most(self.fleet().1) / u64::from(STRETCHES);
        let mut last = *first;
        for checkpoint in between {
            let is_near = match self.retention.stretch() {
                Some(stretch) => checkpoint.at.duration_since(last.at).unsigned_abs() < stretch,
                None => checkpoint.position < 2 * last.position,
            };
            if is_near && checkpoint.position - last.position < most {
                superfluous.push(checkpoint.position);
            } else {
                last = *checkpoint;
            }
        }
        superfluous
    }

    /// Writes the state as it is now as a checkpoint, and reads it back.
    pub fn checkpoint(&mut self) -> Result<(), RetentionError> {
        let state = self.ledger.state().copy();
        let position = state.journal;
        // A clock that was set back makes nothing old: a checkpoint is as young as the youngest entry in it.
        let before = self.reader.checkpoints()?.last().copied();
        let newest = self.reader.newest_time(before.map_or(0, |before| before.position), position)?;
        let at = newest.max(before.map(|before| before.at));
        let at = at.map_or_else(|| self.reader.time_of(position), Ok)?;
        self.ask(move |writer| writer.begin_checkpoint(position))?;
        let (mut said, mut parts) = (Vec::new(), Vec::with_capacity(STEP));
        state.parts(|part| {
            said.push(part.print());
            parts.push(part);
            if parts.len() == STEP { self.write(position, said.len(), &mut parts) } else { Ok(()) }
        })?;
        self.write(position, said.len(), &mut parts)?;
        drop(state);
        let checkpoint = Checkpoint { position, at, parts: said.len() as u64 };
        let mut read = Vec::with_capacity(said.len());
        let mut is_good = true;
        self.reader.parts(checkpoint, |part| {
            is_good &= is_usable(&part);
            read.push(part.print());
            Ok::<_, StoreError>(())
        })?;
        said.sort_unstable();
        read.sort_unstable();
        if !is_good || said != read {
            return Err(RetentionError::Different(position));
        }
        self.ask(move |writer| writer.finish_checkpoint(checkpoint))?;
        info!(position, parts = read.len(), "The state was kept as a checkpoint.");
        Ok(())
    }

    fn write(&self, position: u64, written: usize, parts: &mut Vec<Part>) -> Result<(), RetentionError> {
        let parts = std::mem::take(parts);
        let first = (written - parts.len()) as u64;
        self.ask(move |writer| writer.write_parts(position, first, &parts))
    }

    /// Takes away, step by step, what nothing needs any more.
    fn tidy(&mut self) -> Result<(), RetentionError> {
        while self.ask(|writer| writer.clear_checkpoints(STEP))? > 0 {}
        let mut cut = 0;
        loop {
            match self.ask(|writer| writer.cut(STEP))? {
                0 => break,
                some => cut += some,
            }
        }
        let swept = self.sweep();
        self.ask(|writer| {
            writer.end_sweep();
            Ok(())
        })?;
        swept?;
        let mut free = u64::MAX;
        loop {
            let left = self.ask(|writer| writer.vacuum(PAGES))?;
            // Of a file that was made otherwise none is given back.
            if left == 0 || left >= free {
                break;
            }
            free = left;
        }
        if cut > 0 {
            info!(
                entries = cut,
                begin = self.reader.base()?,
                "What is older than the journal keeps was cut off."
            );
        }
        Ok(())
    }

    fn sweep(&self) -> Result<(), RetentionError> {
        let end = self.ask(|writer| Ok(writer.begin_sweep()))?;
        let marked = Arc::new(self.reader.mark()?);
        let mut after = Some(0);
        while let Some(last) = after {
            let marked = Arc::clone(&marked);
            after = self.ask(move |writer| writer.sweep(&marked, last, end, STEP as u64))?;
        }
        self.ask(move |writer| writer.sweep_names(&marked))?;
        Ok(())
    }

    fn tell(&self) -> Result<(), RetentionError> {
        let size = self.reader.size()?;
        self.metrics.store(size.bytes, size.free, self.reader.base()?);
        Ok(())
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RetentionError> {
        Ok(self.ledger.upkeep(work)?)
    }
}

/// Whether a state can be put together of it again.
fn is_usable(part: &Part) -> bool {
    match part {
        Part::Node(node) => Lost::put(&node.lost.0, &node.lost.1).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_store::entry::{Entry, Presence};
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Decision, Key};
    use crate::state::State;

    /// Promise: a fleet that says much in a short time does not fill the disk. Of the journal so many entries a node are kept,
    /// however young they are, and an eighth more, or as many as one checkpoint is behind another; in the first hour all.
    #[test]
    fn what_is_too_much_goes_before_it_is_old() {
        const EACH: u64 = 80_000;
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = evenkeel_store::open(directory.path()).unwrap();
        let presence = Presence { node: Uuid::nil(), fresh: true, last_seen: Timestamp::UNIX_EPOCH };
        let metrics = Arc::new(Metrics::default());
        let state = State::new(&["dev".to_owned()], std::time::Instant::now());
        let ledger = Ledger::start(state, writer, &reader, Arc::clone(&metrics)).unwrap();
        let retention = Retention { entries_per_node: EACH, ..Retention::default() };
        let mut upkeep = Upkeep::new(retention, ledger.clone(), reader.another().unwrap(), metrics);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for round in 0..30 {
            if round == 12 {
                assert_eq!(reader.base().unwrap(), 0, "it was cut off within the first hour");
                upkeep.settled = Duration::ZERO;
            }
            for _ in 0..10 {
                let entries = vec![Entry::Presence(presence.clone()); 1_000];
                let decide = |_: &State| Decision { entries, sections: vec![], answer: () };
                runtime.block_on(ledger.change(Key::None, decide)).unwrap();
            }
            upkeep.look().unwrap();
            let kept = ledger.state().journal - reader.base().unwrap();
            assert!(
                round < 12 || kept <= EACH + (EACH / 8).max(ENTRIES) + ENTRIES,
                "{kept} entries are kept"
            );
        }
        assert!(reader.base().unwrap() > 100_000);
        assert!(ledger.state().journal > 300_000);
    }
}
