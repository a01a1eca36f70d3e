//! The one ordered log of everything that changes the collector's state, whatever keeps it: SQLite ([`Writer`]), or memory
//! ([`Memory`]). Another that a cluster shares would take its place here.
//!
//! What each of them promises is in one set of tests that all of them pass.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, Section};
use jiff::Timestamp;

use crate::{Batch, Reader, Record, StoreError, Writer};

/// Calls with every entry.
pub type Each<'a> = &'a mut dyn FnMut(Record) -> Result<(), StoreError>;

/// An ordered log, with the contents that its entries name. It has one writer: whoever holds it.
pub trait Journal: Send {
    /// The position of the last entry; 0: there is none.
    fn position(&self) -> u64;

    /// Appends all of it, durably, or nothing. The entries at their positions, without gaps, behind all that were there.
    fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError>;

    /// What can be read meanwhile, on another thread.
    fn log(&self) -> Result<Box<dyn Log>, StoreError>;

    /// Whether a write goes through now.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Leaves it so that a copy of it is whole.
    fn settle(&mut self) -> Result<(), StoreError>;

    /// What keeps it on this machine's disk, if that is where it is.
    fn on_disk(&mut self) -> Option<&mut Writer>;
}

/// What a journal says.
pub trait Log: Send {
    /// Calls `each` for every entry behind `after` and up to `last`, in order.
    fn replay(&self, after: u64, last: u64, each: Each<'_>) -> Result<(), StoreError>;

    /// A content; `None` if it is not there.
    fn content(&self, digest: Digest) -> Result<Option<Section>, StoreError>;

    /// Where it ends, and who waits for it.
    fn end(&self) -> &End;

    /// The entries behind `after`, as soon as there is one, or none after so long.
    fn follow(&self, after: u64, most: Duration) -> Result<Vec<Record>, StoreError> {
        let last = self.end().beyond(after, most);
        let mut records = Vec::new();
        self.replay(after, last, &mut |record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }
}

/// The position of the last entry, shared with those that wait for the next.
#[derive(Debug, Clone, Default)]
pub struct End(Arc<(Mutex<u64>, Condvar)>);

impl End {
    pub(crate) fn at(position: u64) -> Self {
        Self(Arc::new((Mutex::new(position), Condvar::new())))
    }

    pub(crate) fn position(&self) -> u64 {
        *self.lock()
    }

    /// What is durable now can be seen.
    pub(crate) fn moved(&self, position: u64) {
        *self.lock() = position;
        self.0.1.notify_all();
    }

    /// The position of the last entry, once it is behind `after`, or after so long.
    fn beyond(&self, after: u64, most: Duration) -> u64 {
        let end = Instant::now() + most;
        let mut position = self.lock();
        while *position <= after {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            position = self.0.1.wait_timeout(position, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *position
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Writer {
    fn position(&self) -> u64 {
        Self::position(self)
    }

    fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        Self::append(self, batch)
    }

    fn log(&self) -> Result<Box<dyn Log>, StoreError> {
        Ok(Box::new(Followed { reader: self.reader()?, end: self.end().clone() }))
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        Self::probe(self)
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        Self::settle(self)
    }

    fn on_disk(&mut self) -> Option<&mut Writer> {
        Some(self)
    }
}

/// A reader that knows when there is more.
struct Followed {
    reader: Reader,
    end: End,
}

impl Log for Followed {
    fn replay(&self, after: u64, last: u64, each: Each<'_>) -> Result<(), StoreError> {
        self.reader.replay_to(after, last, each)
    }

    fn content(&self, digest: Digest) -> Result<Option<Section>, StoreError> {
        self.reader.section(digest)
    }

    fn end(&self) -> &End {
        &self.end
    }
}

/// A journal that is gone with its process: for tests, and to see what a journal has to do.
#[derive(Debug, Default)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    end: End,
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Record>,
    contents: HashMap<Digest, Arc<Section>>,
}

impl Journal for Memory {
    fn position(&self) -> u64 {
        self.end.position()
    }

    fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        let Batch { entries, sections } = batch;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = sections.iter().map(|content| (content.digest(), Arc::clone(content.section())));
        kept.contents.extend(contents);
        let first = kept.records.len() as u64 + 1;
        let record = |(position, (at, entry)): (u64, (Timestamp, _))| {
            let at = Timestamp::from_millisecond(at.as_millisecond()).expect("it was in range");
            Record { position, at, entry }
        };
        let records: Vec<Record> = (first..).zip(entries).map(record).collect();
        kept.records.extend(records.iter().cloned());
        self.end.moved(kept.records.len() as u64);
        Ok(records)
    }

    fn log(&self) -> Result<Box<dyn Log>, StoreError> {
        Ok(Box::new(Self { kept: Arc::clone(&self.kept), end: self.end.clone() }))
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_disk(&mut self) -> Option<&mut Writer> {
        None
    }
}

impl Log for Memory {
    fn replay(&self, after: u64, last: u64, each: Each<'_>) -> Result<(), StoreError> {
        let records: Vec<Record> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = kept.records.iter().filter(|record| (after + 1..=last).contains(&record.position));
            wanted.cloned().collect()
        };
        records.into_iter().try_for_each(each)
    }

    fn content(&self, digest: Digest) -> Result<Option<Section>, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.contents.get(&digest).map(|section| Section::clone(section)))
    }

    fn end(&self) -> &End {
        &self.end
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_facts::{FactPath, SectionBuilder};
    use uuid::Uuid;

    use super::*;
    use crate::entry::tests::commit;
    use crate::open;

    /// Runs a test on every kind of journal.
    fn on_each(test: impl Fn(&mut dyn Journal)) {
        let directory = tempfile::tempdir().unwrap();
        test(&mut open(directory.path()).unwrap().0);
        test(&mut Memory::default());
    }

    fn batch(sequences: std::ops::Range<u64>) -> Batch {
        // Finer than a journal keeps it.
        let at: Timestamp = "2026-11-22T10:00:00.123456789Z".parse().unwrap();
        Batch { entries: sequences.map(|n| (at, commit(Uuid::nil(), n))).collect(), sections: vec![] }
    }

    fn said(log: &dyn Log, after: u64, last: u64) -> Vec<Record> {
        let mut records = Vec::new();
        log.replay(after, last, &mut |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
        records
    }

    /// Promise: entries are replayed as they were appended, from any position to any other, by whoever reads.
    #[test]
    fn entries_are_replayed_as_they_were_appended() {
        on_each(|journal| {
            assert_eq!(journal.position(), 0);
            let log = journal.log().unwrap();
            assert_eq!(said(&*log, 0, u64::MAX), []);
            let mut all = journal.append(batch(1..4)).unwrap();
            all.extend(journal.append(Batch::default()).unwrap());
            journal.probe().unwrap();
            all.extend(journal.append(batch(4..6)).unwrap());
            let positions: Vec<u64> = all.iter().map(|record| record.position).collect();
            assert_eq!((positions, journal.position()), ((1..6).collect(), 5));
            for (after, last) in [(0, u64::MAX), (2, 4), (4, 5), (5, u64::MAX), (0, 0)] {
                let expected: Vec<Record> =
                    all.iter().filter(|one| one.position > after && one.position <= last).cloned().collect();
                assert_eq!(said(&*log, after, last), expected, "{after} to {last}");
            }
            journal.settle().unwrap();
            assert_eq!(said(&*journal.log().unwrap(), 0, u64::MAX), all);
        });
    }

    /// Promise: what an entry names is there when the entry is, and a replay that is broken off says why.
    #[test]
    fn contents_come_with_their_entries() {
        on_each(|journal| {
            let mut section = SectionBuilder::new("os");
            section.present(FactPath::known("os.id"), "debian");
            let section = Arc::new(section.finish());
            let log = journal.log().unwrap();
            assert_eq!(log.content(section.digest()).unwrap(), None);
            journal.append(Batch { sections: vec![Arc::clone(&section).into()], ..batch(1..3) }).unwrap();
            assert_eq!(log.content(section.digest()).unwrap().as_ref(), Some(&*section));
            let mut seen = 0;
            let broken = log.replay(0, u64::MAX, &mut |_| {
                seen += 1;
                Err(StoreError::Damaged("enough".to_owned()))
            });
            assert_eq!((seen, broken.is_err()), (1, true));
        });
    }

    /// Promise: who follows is given each entry once, in order, when it is there, and waits no longer than asked.
    #[test]
    fn who_follows_misses_nothing() {
        const LAST: u64 = 50;
        on_each(|journal| {
            let log = journal.log().unwrap();
            assert_eq!(log.follow(0, Duration::ZERO).unwrap(), []);
            let follower = std::thread::spawn(move || {
                let mut seen: Vec<Record> = Vec::new();
                while seen.len() < usize::try_from(LAST).unwrap() {
                    seen.extend(log.follow(seen.len() as u64, Duration::from_secs(600)).unwrap());
                }
                seen
            });
            let mut all = Vec::new();
            for sequence in 1..=LAST {
                all.extend(journal.append(batch(sequence..sequence + 1)).unwrap());
            }
            assert_eq!(follower.join().unwrap(), all);
        });
    }
}
