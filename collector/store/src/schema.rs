//! Tables, versions, and what is checked when a store is opened.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use evenkeel_facts::Digest;
use rusqlite::{Connection, OpenFlags, params};

use crate::StoreError;
use crate::entry::Entry;

/// The newest schema that this version knows.
pub(crate) const SCHEMA: i64 = 3;

/// In the file's header, so that `file` and we can tell a store from another database: "evkl".
const APPLICATION_ID: i64 = 0x6576_6b6c;

/// `position` counts from 1 without gaps. `node` is set for entries of one node, so that its history is a walk over an
/// index. `at` is the collector's clock in milliseconds: a label, the position is the order.
/// `sum` is a digest of the row: SQLite does not notice a bit that turned within one.
/// `audit` names the entries that somebody did to the collector, so that they are found among millions of commits.
/// `probe` has one row, written to see whether a write goes through.
const TABLES: &str = "
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    node     BLOB,
    entry    BLOB NOT NULL,
    sum      INTEGER
) STRICT;
CREATE INDEX journal_of_node ON journal (node, position) WHERE node IS NOT NULL;
CREATE TABLE section (
    digest BLOB PRIMARY KEY,
    zstd   BLOB NOT NULL
) STRICT;
CREATE TABLE audit (
    position INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE probe (
    id     INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
) STRICT;
";

/// Opens for writing: creates, migrates, checks.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    make_private(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let mut connection = Connection::open(path).map_err(StoreError::database("open the file"))?;
    configure(&connection).map_err(damaged_or("configure the file"))?;
    let found = version(&connection)?;
    match found {
        0 => create(&mut connection).map_err(damaged_or("create the tables"))?,
        SCHEMA => {}
        found @ 1..SCHEMA => {
            check(&connection)?;
            migrate(&mut connection, found)?;
        }
        found => return Err(StoreError::Newer { found, known: SCHEMA }),
    }
    check(&connection)?;
    Ok(connection)
}

/// The schema that the file has.
pub(crate) fn version(connection: &Connection) -> Result<i64, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    found.map_err(damaged_or("read the schema version"))
}

/// Whether the file is a store at all.
pub(crate) fn is_ours(connection: &Connection) -> Result<(), StoreError> {
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(damaged_or("read the application id"))?;
    if application == APPLICATION_ID {
        Ok(())
    } else {
        Err(StoreError::Damaged("the file is another program's database".to_owned()))
    }
}

/// Opens for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(StoreError::database("open the file for reading"))
}

/// Mode 0600, whatever the umask; SQLite gives its side files the same.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Before WAL: afterwards it would silently stay off.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: an acknowledged commit survives a power cut. NORMAL loses acknowledged rows.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()
}

/// From an older schema to the newest, all of it or nothing.
fn migrate(connection: &mut Connection, found: i64) -> Result<(), StoreError> {
    let failed = StoreError::database;
    let transaction = connection.transaction().map_err(failed("begin a migration"))?;
    if found < 2 {
        let table = "CREATE TABLE audit (position INTEGER PRIMARY KEY) STRICT";
        transaction.execute_batch(table).map_err(failed("create a table"))?;
        let mut query =
            transaction.prepare("SELECT position, entry FROM journal").map_err(failed("read the journal"))?;
        let mut rows = query.query([]).map_err(failed("read the journal"))?;
        while let Some(row) = rows.next().map_err(damaged_or("read the journal"))? {
            let position: i64 = row.get(0).map_err(failed("read the journal"))?;
            let bytes: Vec<u8> = row.get(1).map_err(failed("read the journal"))?;
            let entry = Entry::decode(&bytes)
                .map_err(|why| StoreError::Damaged(format!("entry {position} of the journal: {why}")))?;
            if entry.is_administrative() {
                note(&transaction, position)?;
            }
        }
    }
    if found < 3 {
        add_sums(&transaction).map_err(damaged_or("write the digests of entries"))?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(failed("write the schema version"))?;
    transaction.commit().map_err(failed("commit a migration"))
}

/// Until this schema entries had no digest: what is there is believed.
fn add_sums(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("ALTER TABLE journal ADD COLUMN sum INTEGER")?;
    let mut query = connection.prepare("SELECT position, at, node, entry FROM journal")?;
    let mut write = connection.prepare("UPDATE journal SET sum = ?2 WHERE position = ?1")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (position, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (node, entry): (Option<Vec<u8>>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        write.execute(params![position, sum(position, at, node.as_deref(), &entry)])?;
    }
    Ok(())
}

/// The digest of a row of the journal: what it says, and where it stands.
pub(crate) fn sum(position: i64, at: i64, node: Option<&[u8]>, entry: &[u8]) -> i64 {
    let row = [&position.to_le_bytes(), &at.to_le_bytes()[..], node.unwrap_or_default(), entry].concat();
    let mut sum = [0; 8];
    sum.copy_from_slice(&Digest::of(&row).as_bytes()[..8]);
    i64::from_le_bytes(sum)
}

/// An entry belongs to the audit.
pub(crate) fn note(connection: &Connection, position: i64) -> Result<(), StoreError> {
    let mut note = connection
        .prepare_cached("INSERT INTO audit (position) VALUES (?1)")
        .map_err(StoreError::database("prepare"))?;
    note.execute([position]).map_err(StoreError::database("note an entry for the audit"))?;
    Ok(())
}

fn check(connection: &Connection) -> Result<(), StoreError> {
    is_ours(connection)?;
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(damaged_or("check the file"))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
}

/// SQLite's "not a database" and "malformed" are damage, whatever was tried.
fn damaged_or(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    move |error| match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Database { operation, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: durable means durable. Older bundled versions reset the WAL wrongly (fixed in 3.51.3).
    #[test]
    fn settings_are_in_force() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
        let directory = tempfile::tempdir().unwrap();
        let connection = open(&directory.path().join("s.db")).unwrap();
        let pragma = |name| {
            connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("auto_vacuum"), 2.into());
    }

    #[test]
    fn newer_foreign_and_damaged_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.db");
        open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Newer { found: 9, known: SCHEMA })));

        let path = directory.path().join("other.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", SCHEMA).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Damaged(_))));

        let path = directory.path().join("noise.db");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Damaged(_))));
    }
}
