//! Tables, versions, and what is checked when a store is opened.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use evenkeel_facts::Digest;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use crate::{StoreError, migrate};

/// The newest schema that this version knows.
pub(crate) const SCHEMA: i64 = 5;

/// In the file's header, so that `file` and we can tell a store from another database: "evkl".
const APPLICATION_ID: i64 = 0x6576_6b6c;

/// `journal`: `position` counts from 1 without gaps, but for what was cut off. `at` is the collector's clock in milliseconds: a label, the position is
/// the order. `node` is set for entries of one node, so that its history is a walk over an index. `sum` is a digest of what
/// the row says: SQLite does not notice a bit that turned within one.
/// `node`, `name`, `section`: what the numbers in entries stand for. A section's `content` is empty if it was damaged
/// and put aside. Eight bytes of a digest find it.
/// `audit` names the entries that somebody did to the collector, so that they are found among millions of commits.
/// `checkpoint`: states in parts, of which those in `whole_checkpoint` count; entries up to the newest that `is_begin` may be gone.
/// `probe` has one row, written to see whether a write goes through.
pub(crate) const TABLES: &str = "
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    node     INTEGER,
    entry    BLOB NOT NULL,
    sum      INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_of_node ON journal (node) WHERE node IS NOT NULL;
CREATE TABLE node (
    id   INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE section (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL,
    content BLOB
) STRICT;
CREATE INDEX section_of_digest ON section (substr(digest, 1, 8));
CREATE TABLE audit (
    position INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE checkpoint (
    position INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    key      INTEGER NOT NULL,
    part     BLOB NOT NULL,
    sum      INTEGER NOT NULL,
    PRIMARY KEY (position, kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE whole_checkpoint (
    position INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    parts    INTEGER NOT NULL,
    is_begin INTEGER NOT NULL,
    sum      INTEGER NOT NULL
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
    // Before anything is set: what a newer version wrote stays as it is.
    let found = version(&connection)?;
    if !(0..=SCHEMA).contains(&found) {
        return Err(StoreError::Newer { found, known: SCHEMA });
    }
    configure(&connection).map_err(damaged_or("configure the file"))?;
    match found {
        0 => create(&mut connection).map_err(damaged_or("create the tables"))?,
        SCHEMA => {}
        older => {
            check(&connection)?;
            migrate::migrate(&mut connection, older)?;
        }
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
    // Half of the default: the log is part of what a small fleet costs.
    connection.pragma_update(None, "wal_autocheckpoint", 512)?;
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

/// The digest of a row of the journal: what it says, in full, and where it stands.
pub(crate) fn sum(position: i64, at: i64, node: Option<Uuid>, entry: &[u8]) -> i64 {
    let node = node.map(Uuid::into_bytes);
    let node = node.as_ref().map_or(&[][..], |node| node);
    let row = [&position.to_le_bytes(), &at.to_le_bytes()[..], node, entry].concat();
    let mut sum = [0; 8];
    sum.copy_from_slice(&Digest::of(&row).as_bytes()[..8]);
    i64::from_le_bytes(sum)
}

fn check(connection: &Connection) -> Result<(), StoreError> {
    is_ours(connection)?;
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(damaged_or("check the file"))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
}

/// SQLite's "not a database" and "malformed" are damage, whatever was tried.
pub(crate) fn damaged_or(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    move |error| match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::database(operation)(error),
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
