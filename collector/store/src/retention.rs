//! Checkpoints, and what is cut off behind them: entries, contents that nothing names any more, pages of the file.
//!
//! Each step is a short transaction of its own, between which the collector writes what comes, and each may be the last one
//! before a `kill -9`: a checkpoint counts when it is whole, entries go from the oldest on, and whatever was left undone is
//! done the next time. Entries of the audit stay for good.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::checkpoint::{self, NodePart, Part, kind};
use crate::entry::{BaselineCreated, Entry};
use crate::ids::{Ids, Lookup, Named, Numbers};
use crate::whole::{Whole, begin, sum_of, whole};
use crate::{Reader, StoreError, Writer, content, packed, schema};

/// A checkpoint that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The entry after which it holds.
    pub position: u64,
    /// When that entry was appended.
    pub at: Timestamp,
    /// How many parts it has.
    pub parts: u64,
}

/// What a store takes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes in it that are free.
    pub free: u64,
}

impl Writer {
    /// Begins a checkpoint after this entry; what was begun and never finished is gone.
    pub fn begin_checkpoint(&mut self, position: u64) -> Result<(), StoreError> {
        self.step("begin a checkpoint", |connection, _| {
            connection.execute("DELETE FROM checkpoint WHERE position = ?1", [position.cast_signed()])?;
            Ok(0)
        })?;
        Ok(())
    }

    /// Writes some parts. `first` is how many there were before.
    pub fn write_parts(&mut self, position: u64, first: u64, parts: &[Part]) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction().map_err(StoreError::database("begin a transaction"))?;
        let mut write = || -> Result<(), StoreError> {
            let mut numbers =
                Numbers { connection: &transaction, ids: &mut self.ids, contents: HashMap::new() };
            let mut put = transaction
                .prepare_cached(
                    "INSERT INTO checkpoint (position, kind, key, part, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .map_err(StoreError::database("prepare"))?;
            for (number, part) in (first..).zip(parts) {
                let bytes = part.pack(&mut numbers)?;
                let key = match part {
                    Part::Node(node) => numbers.of_node(node.node)?,
                    _ => number,
                };
                let sum = sum(position, key, &bytes, part);
                put.execute(params![position.cast_signed(), part.kind(), key.cast_signed(), bytes, sum])
                    .map_err(StoreError::database("write a checkpoint"))?;
            }
            Ok(())
        };
        write().inspect_err(|_| self.ids.forget())?;
        transaction.commit().map_err(StoreError::database("commit"))
    }

    /// The checkpoint is whole: from now on it counts, in the place of one that is damaged.
    pub fn finish_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        self.step("finish a checkpoint", |connection, _| {
            let Checkpoint { position, at, parts } = checkpoint;
            let position = position.cast_signed();
            // The journal may begin behind the one that is damaged.
            let is_begin = "SELECT is_begin FROM whole_checkpoint WHERE position = ?1";
            let is_begin: Option<bool> =
                connection.query_row(is_begin, [position], |row| row.get(0)).optional()?;
            let is_begin = is_begin.unwrap_or(false);
            let sum = sum_of(checkpoint, is_begin);
            connection.execute(
                "INSERT OR REPLACE INTO whole_checkpoint (position, at, parts, is_begin, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![position, at.as_millisecond(), parts.cast_signed(), is_begin, sum],
            )
        })?;
        Ok(())
    }

    /// From now on the journal begins behind this checkpoint: entries up to it may go.
    pub fn begin_at(&mut self, position: u64) -> Result<(), StoreError> {
        self.step("say where the journal begins", |connection, _| {
            let all = whole(connection)?.0;
            let Some((checkpoint, _)) = all.into_iter().find(|(whole, _)| whole.position == position) else {
                return Ok(0);
            };
            connection.execute(
                "UPDATE whole_checkpoint SET is_begin = 1, sum = ?2 WHERE position = ?1",
                params![position.cast_signed(), sum_of(checkpoint, true)],
            )
        })?;
        Ok(())
    }

    /// A checkpoint counts no more. Never the one that the journal begins behind.
    pub fn drop_checkpoint(&mut self, position: u64) -> Result<(), StoreError> {
        self.step("drop a checkpoint", |connection, _| {
            if begin(&whole(connection)?.0).is_some_and(|begin| begin.position == position) {
                return Ok(0);
            }
            connection.execute("DELETE FROM whole_checkpoint WHERE position = ?1", [position.cast_signed()])
        })?;
        Ok(())
    }

    /// Takes away some parts of checkpoints that do not count. Returns how many; 0: none is left.
    pub fn clear_checkpoints(&mut self, most: usize) -> Result<usize, StoreError> {
        self.step("clear old checkpoints", |connection, _| {
            let (all, damaged) = whole(connection)?;
            let begin = begin(&all).map_or(0, |begin| begin.position.cast_signed());
            for position in damaged.into_iter().filter(|position| *position < begin) {
                connection.execute("DELETE FROM whole_checkpoint WHERE position = ?1", [position])?;
            }
            // From one position to the next: each has as many parts as there are nodes.
            let stale = "WITH RECURSIVE each(position) AS (SELECT min(position) FROM checkpoint UNION ALL \
                    SELECT (SELECT min(position) FROM checkpoint WHERE position > each.position) FROM each \
                    WHERE each.position IS NOT NULL) \
                SELECT position FROM each WHERE position IS NOT NULL AND position NOT IN (SELECT position FROM whole_checkpoint) LIMIT 1";
            let position: Option<i64> = connection.query_row(stale, [], |row| row.get(0)).optional()?;
            let Some(position) = position else { return Ok(0) };
            let last = "SELECT kind, key FROM checkpoint WHERE position = ?1 ORDER BY kind, key LIMIT 1 OFFSET ?2";
            let last: Option<(i64, i64)> = connection
                .prepare_cached(last)?
                .query_row(params![position, rows(most)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (kind, key) = last.unwrap_or((i64::MAX, i64::MAX));
            let delete = "DELETE FROM checkpoint WHERE position = ?1 AND (kind, key) < (?2, ?3)";
            connection.prepare_cached(delete)?.execute(params![position, kind, key])
        })
    }

    /// Takes away some of the entries that the journal begins behind. Returns how many; 0: none is left.
    pub fn cut(&mut self, most: usize) -> Result<usize, StoreError> {
        self.step("cut the journal", |connection, _| {
            let base = begin(&whole(connection)?.0).map_or(0, |begin| begin.position.cast_signed());
            let delete = "DELETE FROM journal WHERE position IN (SELECT position FROM journal \
                WHERE position <= ?1 AND position NOT IN (SELECT position FROM audit) ORDER BY position LIMIT ?2)";
            connection.prepare_cached(delete)?.execute(params![base, rows(most)])
        })
    }

    /// From now on is noted what is named. A reader that looks for what is named begins after this.
    pub fn begin_sweep(&mut self) -> u64 {
        self.ids.named = Some(Named::default());
        self.ids.next_section()
    }

    /// Takes away contents that are neither marked nor were named since: those numbered above `after`, of `most` numbers.
    /// Returns the last number looked at; `None`: there are no more below `end`.
    pub fn sweep(
        &mut self,
        marked: &Marked,
        after: u64,
        end: u64,
        most: u64,
    ) -> Result<Option<u64>, StoreError> {
        if after + 1 >= end {
            return Ok(None);
        }
        let last = (after + most).min(end - 1);
        self.step("sweep contents", |connection, ids| {
            let named = ids.named.as_ref();
            let mut delete = connection.prepare_cached("DELETE FROM section WHERE id = ?1")?;
            let mut swept = 0;
            for id in after + 1..=last {
                let is_named =
                    marked.0.sections.contains(&id) || named.is_none_or(|named| named.sections.contains(&id));
                if !is_named {
                    swept += delete.execute([id.cast_signed()])?;
                }
            }
            if swept > 0 {
                ids.forget();
            }
            Ok(swept)
        })?;
        Ok(Some(last))
    }

    /// Takes away names that are neither marked nor were named since.
    pub fn sweep_names(&mut self, marked: &Marked) -> Result<(), StoreError> {
        self.step("sweep names", |connection, ids| {
            let known: Vec<i64> = connection
                .prepare_cached("SELECT id FROM name")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let named = ids.named.as_ref();
            let is_named =
                |id: u64| marked.0.names.contains(&id) || named.is_none_or(|named| named.names.contains(&id));
            let mut delete = connection.prepare_cached("DELETE FROM name WHERE id = ?1")?;
            let unnamed = known.into_iter().filter(|id| !is_named(id.cast_unsigned()));
            let swept = unnamed.map(|id| delete.execute([id])).sum::<rusqlite::Result<usize>>()?;
            ids.forget();
            Ok(swept)
        })?;
        Ok(())
    }

    /// What is named is noted no more.
    pub fn end_sweep(&mut self) {
        self.ids.named = None;
    }

    /// Gives some free pages back to the file system. Returns how many pages are still free.
    pub fn vacuum(&mut self, pages: u32) -> Result<u64, StoreError> {
        let failed = || StoreError::database("give free pages back");
        let run = || -> rusqlite::Result<u64> {
            let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
            self.connection.pragma_query_value(None, "freelist_count", |row| {
                row.get::<_, i64>(0).map(i64::cast_unsigned)
            })
        };
        run().map_err(failed())
    }

    /// A content that is damaged is not held any more, so that it is asked for again. One that is good by now stays.
    pub fn quarantine(&mut self, digest: evenkeel_facts::Digest) -> Result<(), StoreError> {
        self.step("put a damaged content aside", |connection, ids| {
            ids.forget();
            let which = "substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1";
            let kept: Option<Option<Vec<u8>>> = connection
                .query_row(
                    &format!("SELECT content FROM section WHERE {which}"),
                    [digest.as_bytes().as_slice()],
                    |row| row.get(0),
                )
                .optional()?;
            if kept.flatten().is_some_and(|kept| content::open(digest, &kept).is_ok()) {
                return Ok(0);
            }
            connection.execute(
                &format!("UPDATE section SET content = x'' WHERE {which}"),
                [digest.as_bytes().as_slice()],
            )
        })?;
        Ok(())
    }

    fn step(
        &mut self,
        operation: &'static str,
        act: impl FnOnce(&Connection, &mut Ids) -> rusqlite::Result<usize>,
    ) -> Result<usize, StoreError> {
        let failed = || StoreError::database(operation);
        let transaction = self.connection.transaction().map_err(failed())?;
        let count = act(&transaction, &mut self.ids).map_err(failed())?;
        transaction.commit().map_err(failed())?;
        Ok(count)
    }
}

/// The contents that something names.
#[derive(Debug, Default)]
pub struct Marked(Named);

impl Reader {
    /// The checkpoints that count, the oldest first.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(self.whole()?.0.into_iter().map(|(checkpoint, _)| checkpoint).collect())
    }

    /// The positions of those of which what is said is damaged: they do not count.
    pub fn damaged_checkpoints(&self) -> Result<Vec<i64>, StoreError> {
        Ok(self.whole()?.1)
    }

    fn whole(&self) -> Result<Whole, StoreError> {
        whole(&self.connection).map_err(StoreError::database("list checkpoints"))
    }

    /// Does something that reads several times, on the store as it is at its first read: what is cut off meanwhile is there.
    pub fn steadily<T, E: From<StoreError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // Ends with its scope, also when `work` panics: a reader that is left in the past keeps the log from being taken in.
        let reading =
            self.connection.unchecked_transaction().map_err(StoreError::database("begin to read"))?;
        let done = work();
        reading.finish().map_err(StoreError::database("end reading"))?;
        done
    }

    /// The checkpoint that the journal begins behind; `None`: every entry is there. Where what is said of it is damaged the
    /// next one takes its place: the journal begins later than it did, and says so.
    pub fn begins_behind(&self) -> Result<Option<Checkpoint>, StoreError> {
        let (all, damaged) = self.whole()?;
        let known = begin(&all);
        let at = |checkpoint: Option<Checkpoint>| checkpoint.map_or(0, |whole| whole.position.cast_signed());
        let later = all.iter().map(|(whole, _)| Some(*whole)).filter(|whole| at(*whole) > at(known));
        // What was cut off behind a damaged one is not there.
        let is_begin = |checkpoint: Option<Checkpoint>| {
            let mut behind = damaged.iter().filter(|position| **position > at(checkpoint));
            behind.try_fold(true, |all, position| Ok(all && self.has_all(at(checkpoint), *position)?))
        };
        for checkpoint in std::iter::once(known).chain(later) {
            if is_begin(checkpoint)? {
                return Ok(checkpoint);
            }
        }
        Err(StoreError::Damaged(format!(
            "the journal begins behind one of the checkpoints {damaged:?}, and what says that they are whole is damaged"
        )))
    }

    /// Whether every entry behind `after` and up to `last` is there.
    fn has_all(&self, after: i64, last: i64) -> Result<bool, StoreError> {
        let count = "SELECT count(*) FROM journal WHERE position > ?1 AND position <= ?2";
        let query = self.connection.prepare_cached(count);
        let there: i64 = query
            .and_then(|mut query| query.query_row([after, last], |row| row.get(0)))
            .map_err(StoreError::database("count entries"))?;
        Ok(there == last - after)
    }

    /// The position behind which every entry is there: where the journal begins, or 0.
    pub fn base(&self) -> Result<u64, StoreError> {
        Ok(self.begins_behind()?.map_or(0, |base| base.position))
    }

    /// Calls `each` with every part of a checkpoint, in order.
    pub fn parts<E: From<StoreError>>(
        &self,
        checkpoint: Checkpoint,
        mut each: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let Checkpoint { position, parts, .. } = checkpoint;
        let failed = || StoreError::database("read a checkpoint");
        let mut query = self
            .connection
            .prepare_cached("SELECT key, part, sum FROM checkpoint WHERE position = ?1 ORDER BY kind, key")
            .map_err(failed())?;
        let mut rows = query.query([position.cast_signed()]).map_err(failed())?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(failed())? {
            let parts =
                || Ok::<_, rusqlite::Error>((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?));
            let (key, bytes, sum) = parts().map_err(failed())?;
            each(self.part(position, key, &bytes, sum)?)?;
            count += 1;
        }
        if count == parts {
            Ok(())
        } else {
            Err(damaged(position, format!("{count} of {parts} parts are there")).into())
        }
    }

    /// A node as it was at the begin of what is kept; `None` if it was none then.
    pub fn base_of(&self, node: Uuid) -> Result<Option<NodePart>, StoreError> {
        let base = self.base()?;
        let find = "SELECT key, part, sum FROM checkpoint \
            WHERE position = ?1 AND kind = ?2 AND key = (SELECT id FROM node WHERE uuid = ?3)";
        let found: Option<(i64, Vec<u8>, i64)> = self
            .connection
            .prepare_cached(find)
            .and_then(|mut query| {
                let row = params![base.cast_signed(), kind::NODE, node.as_bytes()];
                query.query_row(row, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
            })
            .map_err(StoreError::database("look up a node in a checkpoint"))?;
        let Some((key, bytes, sum)) = found else { return Ok(None) };
        match self.part(base, key, &bytes, sum)? {
            Part::Node(node) => Ok(Some(*node)),
            _ => Err(damaged(base, "a node's part is something else".to_owned())),
        }
    }

    fn part(&self, position: u64, key: i64, bytes: &[u8], expected: i64) -> Result<Part, StoreError> {
        let lookup = Lookup { connection: &self.connection, known: &self.known };
        let part = Part::unpack(bytes, &lookup).map_err(|why| damaged(position, why))?;
        if sum(position, key.cast_unsigned(), bytes, &part) != expected {
            return Err(damaged(position, "a part has another digest than it was written with".to_owned()));
        }
        Ok(part)
    }

    /// What entries behind the base, and checkpoints, name. After [`Writer::begin_sweep`].
    pub fn mark(&self) -> Result<Marked, StoreError> {
        let mut named = Named::default();
        let (mut digests, mut damage) = (HashSet::new(), None);
        let base = self.base()?;
        let failed = || StoreError::database("look for what is named");
        let mut note = |(sections, names): (Vec<u64>, Vec<u64>)| {
            named.sections.extend(sections);
            named.names.extend(names);
        };
        let mut rows =
            |sql: &str, each: &mut dyn FnMut(&[u8]) -> Result<(), String>| -> Result<(), StoreError> {
                let mut query = self.connection.prepare_cached(sql).map_err(failed())?;
                let mut rows = query.query([base.cast_signed()]).map_err(failed())?;
                while let Some(row) = rows.next().map_err(failed())? {
                    let bytes = row.get_ref(0).map_err(failed())?;
                    let bytes = bytes.as_blob().map_err(|error| failed()(error.into()))?;
                    if let Err(why) = each(bytes) {
                        damage.get_or_insert(why);
                    }
                }
                Ok(())
            };
        let mut whole = |bytes: &[u8]| {
            if let Ok(Entry::BaselineCreated(BaselineCreated { sections, .. })) = Entry::decode(bytes) {
                digests.extend(sections.into_iter().map(|section| section.digest));
            }
        };
        rows("SELECT entry FROM journal WHERE position > ?1", &mut |bytes| {
            if packed::is_packed(bytes) {
                note(packed::named(bytes)?);
            } else {
                whole(bytes);
            }
            Ok(())
        })?;
        rows(
            "SELECT part FROM checkpoint WHERE position >= ?1 OR position IN (SELECT position FROM whole_checkpoint)",
            &mut |bytes| {
                note(checkpoint::named(bytes)?);
                if let Some(entry) = checkpoint::entry(bytes)? {
                    whole(&entry);
                }
                Ok(())
            },
        )?;
        // Better keep too much than take away what something may name.
        if let Some(why) = damage {
            return Err(StoreError::Damaged(why));
        }
        let find = "SELECT id FROM section WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1";
        let mut find = self.connection.prepare_cached(find).map_err(failed())?;
        for digest in digests {
            let id = find.query_row([digest.as_bytes().as_slice()], |row| row.get::<_, i64>(0));
            named.sections.extend(id.optional().map_err(failed())?.map(i64::cast_unsigned));
        }
        Ok(Marked(named))
    }

    /// What the store takes of the disk, without its log.
    pub fn size(&self) -> Result<Size, StoreError> {
        let pragma = |name| {
            let value = self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            value.map(i64::cast_unsigned).map_err(StoreError::database("ask for its size"))
        };
        let page = pragma("page_size")?;
        Ok(Size { bytes: page * pragma("page_count")?, free: page * pragma("freelist_count")? })
    }
}

fn rows(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// The digest of a part: of its bytes, and of what the numbers in them stand for.
fn sum(position: u64, key: u64, bytes: &[u8], part: &Part) -> i64 {
    let mut said = bytes.to_vec();
    for section in part.sections() {
        said.extend_from_slice(section.name.as_bytes());
        said.extend_from_slice(section.digest.as_bytes());
    }
    schema::sum(position.cast_signed(), key.cast_signed(), None, &said)
}

fn damaged(position: u64, why: String) -> StoreError {
    StoreError::Damaged(format!("the checkpoint after entry {position}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::commit;
    use crate::{Batch, open};

    /// Promise P6: where what is said of the checkpoint that the journal begins behind is damaged, the journal begins behind
    /// the next one, and nothing is said of what came before; without a next one nothing is said at all.
    #[test]
    fn a_damaged_begin_is_no_begin_of_everything() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(directory.path()).unwrap();
        for position in [2, 4, 6] {
            let entries = vec![(Timestamp::UNIX_EPOCH, commit(Uuid::nil(), position)); 2];
            writer.append(Batch { entries, sections: vec![] }).unwrap();
            writer.begin_checkpoint(position).unwrap();
            let at = Timestamp::UNIX_EPOCH;
            writer.finish_checkpoint(Checkpoint { position, at, parts: 0 }).unwrap();
        }
        let damage = |writer: &Writer, position: i64| {
            let damage = "UPDATE whole_checkpoint SET at = at + 1 WHERE position = ?1";
            writer.connection.execute(damage, [position]).unwrap();
        };
        damage(&writer, 4);
        assert_eq!(reader.base().unwrap(), 0, "every entry is there");
        writer.begin_at(2).unwrap();
        while writer.cut(100).unwrap() > 0 {}
        assert_eq!(reader.base().unwrap(), 2);
        damage(&writer, 2);
        assert_eq!(reader.base().unwrap(), 6);
        let mut seen = Vec::new();
        let each = |record: crate::Record| {
            seen.push(record.position);
            true
        };
        reader.history(Uuid::nil(), each).unwrap();
        assert_eq!(seen, Vec::<u64>::new());
        damage(&writer, 6);
        let error = reader.base().unwrap_err().to_string();
        assert!(error.contains("the journal begins behind one of the checkpoints [2, 4, 6]"), "{error}");
    }

    /// Promise: a checkpoint that is damaged is written anew, the journal begins behind it still, and one before the
    /// journal's begin is taken away.
    #[test]
    fn a_damaged_checkpoint_does_not_stand_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(directory.path()).unwrap();
        let checkpoint = |writer: &mut Writer, position| {
            writer.begin_checkpoint(position).unwrap();
            let at = Timestamp::UNIX_EPOCH;
            writer.finish_checkpoint(Checkpoint { position, at, parts: 0 }).unwrap();
        };
        for position in [2, 4] {
            let entries = vec![(Timestamp::UNIX_EPOCH, commit(Uuid::nil(), position)); 2];
            writer.append(Batch { entries, sections: vec![] }).unwrap();
            checkpoint(&mut writer, position);
        }
        writer.begin_at(4).unwrap();
        writer.connection.execute("UPDATE whole_checkpoint SET at = at + 1", []).unwrap();
        assert_eq!(
            (reader.checkpoints().unwrap(), reader.damaged_checkpoints().unwrap()),
            (vec![], vec![2, 4])
        );
        checkpoint(&mut writer, 4);
        assert_eq!((reader.base().unwrap(), reader.damaged_checkpoints().unwrap()), (4, vec![2]));
        while writer.clear_checkpoints(100).unwrap() > 0 {}
        assert_eq!((reader.base().unwrap(), reader.damaged_checkpoints().unwrap()), (4, vec![]));
    }
}
