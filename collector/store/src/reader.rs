//! Replays, looks up contents, walks one node's history. Never waits for the writer (WAL).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenkeel_facts::{Digest, Section};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::entry::{Entry, Record};
use crate::ids::{Lookup, Meanings};
use crate::mistakes::{Mistake, makes};
use crate::{StoreError, content, packed, schema};

/// Reads a store. [`Reader::another`] opens one more, for another thread.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    path: PathBuf,
    pub(crate) known: Meanings,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, path: path.to_owned(), known: Meanings::default() })
    }

    /// One more reader of the same store.
    pub fn another(&self) -> Result<Self, StoreError> {
        Self::open(&self.path)
    }

    /// Calls `each` for every entry behind `after`, in order.
    pub fn replay<E: From<StoreError>>(
        &self,
        after: u64,
        each: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        self.replay_to(after, u64::MAX, each)
    }

    /// The position of the last entry that was appended at or before a moment; 0 if there is none. Time is a label: it is
    /// the position that says what was before what.
    pub fn position_at(&self, moment: Timestamp) -> Result<u64, StoreError> {
        let base = self.begins_behind()?;
        let behind = base.map_or(0, |base| base.position);
        let mut query = self.prepare("SELECT max(position) FROM journal WHERE position > ?2 AND at <= ?1")?;
        let position: Option<i64> = query
            .query_row(params![moment.as_millisecond(), behind.cast_signed()], |row| row.get(0))
            .map_err(StoreError::database("find a moment in the journal"))?;
        let reached = base.filter(|base| base.at <= moment).map_or(0, |base| base.position);
        Ok(position.map_or(reached, i64::cast_unsigned))
    }

    /// When the first entry was appended, or the one that the journal begins behind; `None` if the journal is empty.
    pub fn begin(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut first = self.begins_behind()?.map(|base| base.at);
        if first.is_some() {
            return Ok(first);
        }
        self.replay_to::<StoreError>(0, 1, |record| {
            first = Some(record.at);
            Ok(())
        })?;
        Ok(first)
    }

    /// When an entry was appended; the time of a checkpoint if that is all that is left of it.
    pub fn time_of(&self, position: u64) -> Result<Timestamp, StoreError> {
        let mut query = self.prepare(
            "SELECT at FROM journal WHERE position = ?1 UNION ALL SELECT at FROM whole_checkpoint WHERE position = ?1",
        )?;
        let at: i64 = query
            .query_row([position.cast_signed()], |row| row.get(0))
            .map_err(StoreError::database("ask when an entry was appended"))?;
        Timestamp::from_millisecond(at)
            .map_err(|error| StoreError::Damaged(format!("entry {position}: {error}")))
    }

    /// The latest time of the entries behind `after` and up to `last`; `None` if there are none.
    pub fn newest_time(&self, after: u64, last: u64) -> Result<Option<Timestamp>, StoreError> {
        let mut query = self.prepare("SELECT max(at) FROM journal WHERE position > ?1 AND position <= ?2")?;
        let at: Option<i64> = query
            .query_row([after.cast_signed(), last.cast_signed()], |row| row.get(0))
            .map_err(StoreError::database("ask when entries were appended"))?;
        let at = at.map(Timestamp::from_millisecond).transpose();
        at.map_err(|error| StoreError::Damaged(format!("entries up to {last}: {error}")))
    }

    /// Calls `each` for every entry behind `after` and up to `last`, in order.
    pub fn replay_to<E: From<StoreError>>(
        &self,
        after: u64,
        last: u64,
        mut each: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut query =
            self.prepare("SELECT position, at, node, entry, sum FROM journal WHERE position > ?1 AND position <= ?2 ORDER BY position")?;
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let rows = query
            .query_map(params![after.cast_signed(), last], parts)
            .map_err(StoreError::database("read the journal"))?;
        for (expected, row) in (after + 1..).zip(rows) {
            let record = self.record(row.map_err(StoreError::database("read the journal"))?)?;
            if record.position != expected {
                let gap = format!("entry {expected} of the journal is missing");
                return Err(StoreError::Damaged(gap).into());
            }
            each(record)?;
        }
        Ok(())
    }

    /// Calls `each` for every entry that is there, also for those that cannot be read.
    pub(crate) fn walk(
        &self,
        mut each: impl FnMut(u64, Result<Record, StoreError>),
    ) -> Result<(), StoreError> {
        let failed = || StoreError::database("read the journal");
        let mut query =
            self.prepare("SELECT position, at, node, entry, sum FROM journal ORDER BY position")?;
        let rows = query.query_map([], parts).map_err(failed())?;
        for row in rows {
            let row = row.map_err(failed())?;
            each(row.0.cast_unsigned(), self.record(row));
        }
        Ok(())
    }

    /// The entries about one node behind the journal's begin, the newest first, until `each` says `false`.
    pub fn history(&self, node: Uuid, mut each: impl FnMut(Record) -> bool) -> Result<(), StoreError> {
        let mut query = self.prepare(
            "SELECT position, at, node, entry, sum FROM journal \
                WHERE node = (SELECT id FROM node WHERE uuid = ?1) AND position > ?2 ORDER BY position DESC",
        )?;
        // What is before the journal's begin may be there still, for as long as it is being cut off.
        let base = self.base()?.cast_signed();
        let rows = query
            .query_map(params![node.into_bytes(), base], parts)
            .map_err(StoreError::database("read a node's history"))?;
        for row in rows {
            if !each(self.record(row.map_err(StoreError::database("read a node's history"))?)?) {
                break;
            }
        }
        Ok(())
    }

    /// The entries that somebody did to the collector, before this position, the newest first, until `each` says `false`.
    pub fn audit(&self, before: u64, mut each: impl FnMut(Record) -> bool) -> Result<(), StoreError> {
        let mut query = self.prepare(
            "SELECT position, at, node, entry, sum FROM audit JOIN journal USING (position) WHERE position < ?1 ORDER BY position DESC",
        )?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let rows = query.query_map(params![before], parts).map_err(StoreError::database("read the audit"))?;
        for row in rows {
            if !each(self.record(row.map_err(StoreError::database("read the audit"))?)?) {
                break;
            }
        }
        Ok(())
    }

    /// The content with this digest, verified; `None` if the store does not hold it.
    pub fn section(&self, digest: Digest) -> Result<Option<Section>, StoreError> {
        let mut query = self.prepare(
            "SELECT content FROM section WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1",
        )?;
        let kept: Option<Option<Vec<u8>>> = query
            .query_row(params![digest.as_bytes().as_slice()], |row| row.get(0))
            .optional()
            .map_err(StoreError::database("read a section"))?;
        kept.flatten().filter(|kept| !kept.is_empty()).map(|kept| content::open(digest, &kept)).transpose()
    }

    /// The content with this digest, which something names.
    pub fn content(&self, digest: Digest) -> Result<Arc<Section>, StoreError> {
        let missing = || StoreError::DamagedSection { digest, why: "it is not there".to_owned() };
        self.section(digest)?.map(Arc::new).ok_or_else(missing)
    }

    fn record(&self, (position, at, node, bytes, sum): Parts) -> Result<Record, StoreError> {
        let damaged = |why: String| StoreError::Damaged(format!("entry {position} of the journal: {why}"));
        let lookup = Lookup { connection: &self.connection, known: &self.known };
        let time = Timestamp::from_millisecond(at).map_err(|error| damaged(error.to_string()))?;
        let node = node.map(|node| lookup.node(node.cast_unsigned())).transpose().map_err(damaged)?;
        let (entry, expected) = if packed::is_packed(&bytes) {
            let entry = packed::unpack(&bytes, time, node, &lookup).map_err(damaged)?;
            let expected = schema::sum(position, at, node, &entry.encode());
            (Ok(entry), expected)
        } else {
            (Entry::decode(&bytes), schema::sum(position, at, node, &bytes))
        };
        if sum != expected && !makes(Mistake::DigestsBelieved) {
            return Err(damaged("it has another digest than it was written with".to_owned()));
        }
        Ok(Record { position: position.cast_unsigned(), at: time, entry: entry.map_err(damaged)? })
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(StoreError::database("prepare a query"))
    }
}

/// Position, time, node, entry, digest.
type Parts = (i64, i64, Option<i64>, Vec<u8>, i64);

fn parts(row: &Row<'_>) -> rusqlite::Result<Parts> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::Batch;
    use crate::{entry, open};
    use evenkeel_facts::{FactPath, SectionBuilder};

    fn section(value: &str) -> Arc<Section> {
        let mut section = SectionBuilder::new("os");
        section.present(FactPath::known("os.id"), value);
        Arc::new(section.finish())
    }

    fn at() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    /// Promise: what was appended is there after a restart, in order, and nothing else.
    #[test]
    fn what_was_appended_is_replayed() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let debian = section("debian");
        let written = {
            let (mut writer, _) = open(directory.path()).unwrap();
            let entries =
                [(a, 1), (b, 1), (a, 2)].map(|(node, sequence)| (at(), entry::tests::commit(node, sequence)));
            let sections = vec![Arc::clone(&debian).into(), Arc::clone(&debian).into()];
            let mut records = writer.append(Batch { entries: entries.to_vec(), sections }).unwrap();
            writer.probe().unwrap();
            let last = vec![(at(), entry::tests::commit(b, 2))];
            records.extend(writer.append(Batch { entries: last, sections: vec![] }).unwrap());
            records
        };
        let (writer, reader) = open(directory.path()).unwrap();
        assert_eq!(writer.position(), 4);
        let mut replayed = Vec::new();
        reader
            .replay::<StoreError>(0, |record| {
                replayed.push(record);
                Ok(())
            })
            .unwrap();
        assert_eq!(replayed, written);
        let mut of_a = Vec::new();
        reader
            .history(a, |record| {
                of_a.push(record.position);
                true
            })
            .unwrap();
        assert_eq!(of_a, [3, 1]);
        assert_eq!(reader.section(debian.digest()).unwrap().as_ref(), Some(&*debian));
        assert_eq!(reader.section(Digest::of(b"")).unwrap(), None);
    }

    fn audited(reader: &Reader, before: u64) -> Vec<u64> {
        let mut found = Vec::new();
        reader
            .audit(before, |record| {
                found.push(record.position);
                true
            })
            .unwrap();
        found
    }

    /// Promise: what somebody did to the collector is found without reading what agents reported.
    #[test]
    fn the_audit_finds_what_was_done() {
        let revoked = |name: &str| {
            let (name, text) = (name.to_owned(), String::new());
            Entry::UserRevoked(entry::UserRevoked { name, reason: text.clone(), by: text })
        };
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(directory.path()).unwrap();
        let entries = [revoked("a"), entry::tests::commit(Uuid::nil(), 1), revoked("b"), revoked("c")];
        let entries = entries.map(|entry| (at(), entry)).to_vec();
        writer.append(Batch { entries, sections: vec![] }).unwrap();
        assert_eq!((audited(&reader, u64::MAX), audited(&reader, 4)), (vec![4, 3, 1], vec![3, 1]));
    }

    /// Promise P6: corruption is detected, never served.
    #[test]
    fn a_changed_section_and_a_missing_entry_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(directory.path()).unwrap();
        let (debian, ubuntu) = (section("debian"), section("ubuntu"));
        let entries = (1..=3).map(|sequence| (at(), entry::tests::commit(Uuid::nil(), sequence))).collect();
        writer.append(Batch { entries, sections: vec![Arc::clone(&debian).into()] }).unwrap();
        let raw = Connection::open(directory.path().join(crate::FILE)).unwrap();
        raw.execute("UPDATE section SET content = ?1", [content::keep(&ubuntu.encode())]).unwrap();
        let error = reader.section(debian.digest()).unwrap_err().to_string();
        assert!(error.contains("its content has another digest"), "{error}");
        raw.execute("DELETE FROM journal WHERE position = 2", []).unwrap();
        let error = reader.replay::<StoreError>(0, |_| Ok(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store is damaged: entry 2 of the journal is missing; restore it from a backup"
        );
    }
}
