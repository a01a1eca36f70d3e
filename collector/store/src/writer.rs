//! Appends batches. An append that returned is durable.

use std::collections::HashSet;

use evenkeel_facts::{Digest, Section};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::entry::{Entry, Record};
use crate::{StoreError, schema};

/// zstd's own default: a quarter of the size.
const LEVEL: i32 = 3;

/// What is appended as one: all of it, or nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Entries, in order.
    pub entries: Vec<(Timestamp, Entry)>,
    /// Contents that entries of this batch name. Those that are held already are skipped.
    pub sections: Vec<(Digest, std::sync::Arc<Section>)>,
}

/// The one writer of a store.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    position: u64,
}

impl Writer {
    pub(crate) fn new(connection: Connection) -> Result<Self, StoreError> {
        let position: Option<i64> = connection
            .query_row("SELECT max(position) FROM journal", [], |row| row.get(0))
            .map_err(StoreError::database("find the end of the journal"))?;
        Ok(Self { connection, position: position.unwrap_or(0).cast_unsigned() })
    }

    /// The position of the last entry; 0 for an empty journal.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Appends in one transaction, and returns when it is on the disk. After an error nothing of the batch is there.
    pub fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        let failed = StoreError::database;
        let transaction = self.connection.transaction().map_err(failed("begin a transaction"))?;
        let mut records = Vec::with_capacity(batch.entries.len());
        {
            let mut put = transaction
                .prepare_cached("INSERT OR IGNORE INTO section (digest, zstd) VALUES (?1, ?2)")
                .map_err(failed("prepare"))?;
            let mut seen = HashSet::new();
            for (digest, section) in &batch.sections {
                if seen.insert(digest) {
                    let zstd =
                        zstd::bulk::compress(&section.encode(), LEVEL).expect("memory to memory cannot fail");
                    put.execute(params![digest.as_bytes().as_slice(), zstd])
                        .map_err(failed("write a section"))?;
                }
            }
            let mut append = transaction
                .prepare_cached(
                    "INSERT INTO journal (position, at, node, entry, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .map_err(failed("prepare"))?;
            for (at, entry) in batch.entries {
                let position = self.position + 1 + records.len() as u64;
                // What is replayed must be what was applied: to the millisecond.
                let at = Timestamp::from_millisecond(at.as_millisecond()).expect("it was in range");
                let node = entry.node().map(uuid::Uuid::into_bytes);
                let (place, time, bytes) = (position.cast_signed(), at.as_millisecond(), entry.encode());
                let sum = schema::sum(place, time, node.as_ref().map(<[u8; 16]>::as_slice), &bytes);
                append
                    .execute(params![place, time, node, bytes, sum])
                    .map_err(failed("append to the journal"))?;
                if entry.is_administrative() {
                    schema::note(&transaction, position.cast_signed())?;
                }
                records.push(Record { position, at, entry });
            }
        }
        transaction.commit().map_err(failed("commit"))?;
        self.position += records.len() as u64;
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
