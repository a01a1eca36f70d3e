//! Appends batches. An append that returned is durable.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::content::Content;
use crate::entry::{Entry, Record};
use crate::ids::{Ids, Numbers};
use crate::journal::End;
use crate::packed::{self, Number as _};
use crate::{Reader, StoreError, schema, whole};

/// What is appended as one: all of it, or nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Entries, in order.
    pub entries: Vec<(Timestamp, Entry)>,
    /// Contents that entries of this batch name. Those that are held already are skipped.
    pub sections: Vec<Content>,
}

/// The one writer of a store.
#[derive(Debug)]
pub struct Writer {
    pub(crate) connection: Connection,
    path: PathBuf,
    end: End,
    pub(crate) ids: Ids,
}

impl Writer {
    pub(crate) fn new(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let failed = || StoreError::database("find the end of the journal");
        let last: Option<i64> = connection
            .query_row("SELECT max(position) FROM journal", [], |row| row.get(0))
            .map_err(failed())?;
        // A checkpoint may be all that is left of the newest entries.
        let whole = whole::whole(&connection).map_err(failed())?.0;
        let whole = whole.last().map_or(0, |(checkpoint, _)| checkpoint.position);
        let position = last.unwrap_or(0).cast_unsigned().max(whole);
        connection.set_prepared_statement_cache_capacity(32);
        let ids = Ids::of(&connection).map_err(failed())?;
        let end = End::at(position);
        Ok(Self { connection, path: path.to_owned(), end, ids })
    }

    /// The position of the last entry; 0 for an empty journal.
    pub fn position(&self) -> u64 {
        self.end.position()
    }

    pub(crate) fn end(&self) -> &End {
        &self.end
    }

    pub(crate) fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Appends in one transaction, and returns when it is on the disk. After an error nothing of the batch is there.
    pub fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        let records = self.try_append(batch).inspect_err(|_| self.ids.forget())?;
        self.end.moved(self.end.position() + records.len() as u64);
        Ok(records)
    }

    fn try_append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        let failed = StoreError::database;
        let before = self.end.position();
        let transaction = self.connection.transaction().map_err(failed("begin a transaction"))?;
        let Batch { entries, sections } = batch;
        let mut records = Vec::with_capacity(entries.len());
        let mut appender = Appender::new(&transaction, &mut self.ids, &sections);
        for content in &sections {
            appender.numbers.of_section(content.digest)?;
        }
        for (at, entry) in entries {
            let position = before + 1 + records.len() as u64;
            // What is replayed must be what was applied: to the millisecond.
            let at = Timestamp::from_millisecond(at.as_millisecond()).expect("it was in range");
            appender.entry(position, at, &entry)?;
            records.push(Record { position, at, entry });
        }
        transaction.commit().map_err(failed("commit"))?;
        Ok(records)
    }

    /// A mistake on purpose: what is appended from now on does not wait for the disk.
    #[cfg(feature = "seeded-bugs")]
    pub fn lose_sync(&self) -> Result<(), StoreError> {
        let update = self.connection.pragma_update(None, "synchronous", "NORMAL");
        update.map_err(StoreError::database("set how it waits for the disk"))
    }

    /// Whether an append returns only when the disk has it.
    #[cfg(feature = "seeded-bugs")]
    pub fn waits_for_disk(&self) -> Result<bool, StoreError> {
        let level = self.connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
        level.map(|level| level >= 2).map_err(StoreError::database("ask how it waits for the disk"))
    }

    /// A bit turns in a content.
    #[cfg(feature = "seeded-bugs")]
    pub fn damage(&mut self, digest: evenkeel_facts::Digest) -> Result<(), StoreError> {
        let turn = "UPDATE section SET content = CAST(substr(content, 1, length(content) - 1) || x'00' AS BLOB) WHERE digest = ?1";
        let turned = self.connection.execute(turn, [digest.as_bytes().as_slice()]);
        assert_eq!(turned.map_err(StoreError::database("damage a content"))?, 1);
        Ok(())
    }

    /// The next appends fail, as on a disk that is full; or no longer.
    #[cfg(feature = "seeded-bugs")]
    pub fn refuse_writes(&self, refuse: bool) -> Result<(), StoreError> {
        let update = self.connection.pragma_update(None, "query_only", refuse);
        update.map_err(StoreError::database("set whether it is written"))
    }

    /// Takes the log into the file, so that the file alone is the store. For the end: whoever reads meanwhile only puts it off.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection
            .query_row(checkpoint, [], |_| Ok(()))
            .map_err(StoreError::database("take the log into the file"))
    }

    /// Whether the store takes a write of the size of a first report now. It is committed: what is rolled back never
    /// reaches the disk, and so would not notice that the disk is full.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        let write = "INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(65536))";
        self.connection.execute(write, []).map_err(StoreError::database("write"))?;
        Ok(())
    }
}

/// Appends entries within a transaction.
pub(crate) struct Appender<'a> {
    connection: &'a Connection,
    numbers: Numbers<'a>,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(connection: &'a Connection, ids: &'a mut Ids, contents: &'a [Content]) -> Self {
        let contents = contents.iter().map(|content| (content.digest, content)).collect();
        Self { connection, numbers: Numbers { connection, ids, contents } }
    }

    /// Appends one entry, and notes it for the audit if it belongs there.
    pub(crate) fn entry(&mut self, position: u64, at: Timestamp, entry: &Entry) -> Result<(), StoreError> {
        let (place, time, node) = (position.cast_signed(), at.as_millisecond(), entry.node());
        let said = entry.encode();
        let sum = schema::sum(place, time, node, &said);
        let bytes = packed::pack(entry, at, &mut self.numbers)?.unwrap_or(said);
        let node = node.map(|node| self.numbers.of_node(node)).transpose()?.map(u64::cast_signed);
        let append = "INSERT INTO journal (position, at, node, entry, sum) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(append, "append to the journal", params![place, time, node, bytes, sum])?;
        if entry.is_administrative() {
            self.execute(
                "INSERT INTO audit (position) VALUES (?1)",
                "note an entry for the audit",
                params![place],
            )?;
        }
        Ok(())
    }

    fn execute(
        &self,
        sql: &str,
        operation: &'static str,
        values: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::database("prepare"))?;
        statement.execute(values).map_err(StoreError::database(operation))?;
        Ok(())
    }
}
