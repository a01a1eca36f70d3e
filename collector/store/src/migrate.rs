//! From an older schema to the newest, all of it or nothing.
//!
//! Until schema 2 nothing named the entries of the audit; until schema 3 entries had no digest, and what is there is
//! believed; until schema 4 commits named nodes, sections and contents in full, and contents were zstd frames; until schema 5
//! what says that a checkpoint is whole had no digest.

use rusqlite::{Connection, params};
use uuid::Uuid;

use jiff::Timestamp;

use crate::entry::Entry;
use crate::ids::Ids;
use crate::schema::{self, SCHEMA};
use crate::writer::Appender;
use crate::{StoreError, content, whole};

/// Until this schema entries had no digest.
const SUMS: i64 = 3;
/// From this schema on there are checkpoints, and entries lie as they do now.
const CHECKPOINTS: i64 = 4;

pub(crate) fn migrate(connection: &mut Connection, found: i64) -> Result<(), StoreError> {
    let failed = StoreError::database;
    let transaction = connection.transaction().map_err(failed("begin a migration"))?;
    if found >= CHECKPOINTS {
        whole::add_sums(&transaction).map_err(schema::damaged_or("take over the checkpoints"))?;
    } else {
        take_over(&transaction, found)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(failed("write the schema version"))?;
    transaction.commit().map_err(failed("commit a migration"))
}

/// What has another form now.
fn take_over(transaction: &Connection, found: i64) -> Result<(), StoreError> {
    let failed = StoreError::database;
    let aside = "ALTER TABLE journal RENAME TO old_journal; DROP INDEX IF EXISTS journal_of_node;
        ALTER TABLE section RENAME TO old_section; DROP TABLE IF EXISTS audit; DROP TABLE IF EXISTS probe";
    transaction.execute_batch(aside).map_err(failed("put the old tables aside"))?;
    transaction.execute_batch(schema::TABLES).map_err(failed("create the tables"))?;
    contents(transaction).map_err(schema::damaged_or("take over the contents"))?;
    entries(transaction, found)?;
    let drop = "DROP TABLE old_journal; DROP TABLE old_section";
    transaction.execute_batch(drop).map_err(failed("drop the old tables"))
}

fn contents(connection: &Connection) -> rusqlite::Result<()> {
    // In the order in which they came, so that those that stand together are named together.
    let mut query = connection.prepare("SELECT digest, zstd FROM old_section ORDER BY rowid")?;
    let mut put = connection.prepare("INSERT INTO section (digest, content) VALUES (?1, ?2)")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (digest, zstd): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        put.execute(params![digest, content::of_frame(&zstd)])?;
    }
    Ok(())
}

fn entries(connection: &Connection, found: i64) -> Result<(), StoreError> {
    let read = || schema::damaged_or("read the old journal");
    let sum = if found < SUMS { "NULL" } else { "sum" };
    let sql = format!("SELECT position, at, node, entry, {sum} FROM old_journal ORDER BY position");
    let mut query = connection.prepare(&sql).map_err(read())?;
    let mut rows = query.query([]).map_err(read())?;
    let mut ids = Ids::of(connection).map_err(read())?;
    let mut appender = Appender::new(connection, &mut ids, &[]);
    while let Some(row) = rows.next().map_err(read())? {
        let parts = || -> rusqlite::Result<_> {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<Vec<u8>>>(2)?,
                row.get::<_, Vec<u8>>(3)?,
                row.get::<_, Option<i64>>(4)?,
            ))
        };
        let (position, at, node, bytes, sum) = parts().map_err(read())?;
        let damaged = |why: String| StoreError::Damaged(format!("entry {position} of the journal: {why}"));
        let node = node.map(|node| Uuid::from_slice(&node)).transpose();
        let node = node.map_err(|error| damaged(error.to_string()))?;
        if found >= SUMS && sum != Some(schema::sum(position, at, node, &bytes)) {
            return Err(damaged("it has another digest than it was written with".to_owned()));
        }
        let at = Timestamp::from_millisecond(at).map_err(|error| damaged(error.to_string()))?;
        let entry = Entry::decode(&bytes).map_err(damaged)?;
        appender.entry(position.cast_unsigned(), at, &entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use evenkeel_facts::root_digest;

    use super::*;
    use crate::entry::{Committed, tests::commit};
    use crate::{Batch, Checkpoint, FILE, Record, check, check_and, open};

    /// A store as version 0.1.0 wrote it with schema 3: two nodes, three commits of one, two environments, a policy.
    const KEPT: &str = include_str!("kept/schema-3.sql");

    fn kept(directory: &Path) -> Connection {
        let old = Connection::open(directory.join(FILE)).unwrap();
        old.execute_batch(KEPT).unwrap();
        old
    }

    fn all(directory: &Path) -> Vec<Record> {
        let (_, reader) = open(directory).unwrap();
        let mut records = Vec::new();
        reader
            .replay::<StoreError>(0, |record| {
                records.push(record);
                Ok(())
            })
            .unwrap();
        records
    }

    /// What the old tables say, by the code that wrote them.
    fn written(old: &Connection) -> Vec<Record> {
        let mut query = old.prepare("SELECT position, at, entry FROM journal ORDER BY position").unwrap();
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        });
        rows.unwrap()
            .map(|row| row.unwrap())
            .map(|(position, at, bytes)| Record {
                position: position.cast_unsigned(),
                at: Timestamp::from_millisecond(at).unwrap(),
                entry: Entry::decode(&bytes).unwrap(),
            })
            .collect()
    }

    /// Promise: a store of an older version says what it said, whole and in order, and goes on.
    #[test]
    fn a_kept_store_of_an_older_version_is_taken_over() {
        for version in [3, 2, 1] {
            let directory = tempfile::tempdir().unwrap();
            let old = kept(directory.path());
            if version < 3 {
                old.execute_batch("ALTER TABLE journal DROP COLUMN sum").unwrap();
            }
            if version < 2 {
                old.execute_batch("DROP TABLE audit").unwrap();
            }
            old.pragma_update(None, "user_version", version).unwrap();
            let before = written(&old);
            drop(old);
            assert_eq!(all(directory.path()), before, "from schema {version}");
            assert_eq!(before.len(), 10);
            let checked = check(&directory.path().join(FILE)).unwrap();
            assert_eq!((checked.entries, checked.sections, checked.problems), (10, 5, vec![]));

            // It is whole: contents, what was done, one node's history; and what comes next comes behind.
            let (mut writer, reader) = open(directory.path()).unwrap();
            let mut sections = std::collections::BTreeMap::new();
            for Record { entry, .. } in &before {
                let Entry::Committed(Committed { node, root, changed, removed, .. }) = entry else {
                    continue;
                };
                let own: &mut std::collections::BTreeMap<_, _> = sections.entry(*node).or_default();
                own.extend(changed.iter().map(|section| (section.name.clone(), section.clone())));
                own.retain(|name, _| !removed.contains(name));
                let all: Vec<_> = own.values().cloned().collect();
                assert_eq!(root_digest(&all), *root);
                for section in all {
                    assert_eq!(reader.section(section.digest).unwrap().unwrap().name(), section.name);
                }
            }
            let mut audited = Vec::new();
            reader
                .audit(u64::MAX, |record| {
                    audited.push(record.position);
                    true
                })
                .unwrap();
            assert_eq!(audited, [10, 4, 3, 2]);
            let node = before[4].entry.node().unwrap();
            let entries = vec![(before[0].at, commit(node, 9))];
            writer.append(Batch { entries, sections: vec![] }).unwrap();
            let mut history = Vec::new();
            reader
                .history(node, |record| {
                    history.push(record.position);
                    true
                })
                .unwrap();
            assert_eq!(history, [11, 9, 7, 5, 3]);
        }
    }

    /// Promise: a backup that an older version made is checked and restored.
    #[test]
    fn a_backup_of_an_older_version_restores() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let backup = kept(old.path());
        let table = "CREATE TABLE kept (path TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
            INSERT INTO kept VALUES ('ca/1/root.key', x'01')";
        backup.execute_batch(table).unwrap();
        let before = written(&backup);
        drop(backup);
        let file = old.path().join(FILE);
        let checked = crate::restore(&file, &new.path().join("data")).unwrap();
        assert_eq!((checked.entries, checked.sections), (10, 5));
        assert_eq!(all(&new.path().join("data")), before);
        assert_eq!(std::fs::read_dir(old.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    /// Promise: damage in an old store is said, and nothing of it is taken over.
    #[test]
    fn a_damaged_store_of_an_older_version_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let old = kept(directory.path());
        old.execute("UPDATE journal SET at = at + 1 WHERE position = 7", []).unwrap();
        let before = written(&old);
        drop(old);
        let error = open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("entry 7 of the journal: it has another digest"), "{error}");
        assert_eq!(written(&Connection::open(directory.path().join(FILE)).unwrap()), before);
    }

    /// A store of schema 4 that begins behind a checkpoint.
    fn fourth(directory: &Path) {
        let (mut writer, _) = open(directory).unwrap();
        let entries = vec![(Timestamp::UNIX_EPOCH, commit(Uuid::nil(), 1)); 2];
        writer.append(Batch { entries, sections: vec![] }).unwrap();
        writer.begin_checkpoint(2).unwrap();
        writer.finish_checkpoint(Checkpoint { position: 2, at: Timestamp::UNIX_EPOCH, parts: 0 }).unwrap();
        writer.begin_at(2).unwrap();
        let back = "ALTER TABLE whole_checkpoint DROP COLUMN sum; PRAGMA user_version = 4";
        writer.connection.execute_batch(back).unwrap();
    }

    /// Promise: whoever checks a store of an older version reads what this version makes of it, and leaves it as it is.
    #[test]
    fn a_store_of_an_older_version_is_checked() {
        for (schema, base) in [(3, 0), (4, 2)] {
            let directory = tempfile::tempdir().unwrap();
            if schema == 3 {
                drop(kept(directory.path()));
            } else {
                fourth(directory.path());
            }
            let path = directory.path().join(FILE);
            let mut begin = None;
            let checked = check_and(&path, |reader| {
                begin = Some(reader.base()?);
                Ok(())
            });
            assert_eq!((checked.unwrap().problems, begin), (vec![], Some(base)), "schema {schema}");
            let refused = check_and(&path, |_| Err(StoreError::Damaged("it makes no state".to_owned())));
            assert!(refused.unwrap().problems[0].contains("it makes no state"));
            assert_eq!(schema::version(&Connection::open(&path).unwrap()).unwrap(), schema);
        }
    }

    /// Promise: a checkpoint of the version before is one, and what it says is not believed unseen from then on.
    #[test]
    fn a_checkpoint_without_a_digest_gets_one() {
        let directory = tempfile::tempdir().unwrap();
        fourth(directory.path());
        let (writer, reader) = open(directory.path()).unwrap();
        assert_eq!((reader.checkpoints().unwrap().len(), reader.base().unwrap()), (1, 2));
        for turn in ["at = at + 1", "parts = parts + 1", "is_begin = 0", "position = position + 1024"] {
            writer.connection.execute_batch("SAVEPOINT turn").unwrap();
            writer.connection.execute(&format!("UPDATE whole_checkpoint SET {turn}"), []).unwrap();
            assert_eq!(whole::whole(&writer.connection).unwrap().0.len(), 0, "{turn}");
            writer.connection.execute_batch("ROLLBACK TO turn; RELEASE turn").unwrap();
        }
        writer.connection.execute("UPDATE whole_checkpoint SET at = at + 1", []).unwrap();
        let problems = check(&directory.path().join(FILE)).unwrap().problems;
        let said = "the checkpoint after entry 2: it has another digest than it was written with";
        assert!(problems.contains(&said.to_owned()), "{problems:?}");
    }
}
