//! A whole store in one file, made while the collector runs: the journal with every content, and beside it the files that
//! are worth nothing without it and without which it is worth nothing (the certificate authority).
//!
//! A backup is a store with one more table, so that everything that reads stores checks it, too.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rusqlite::{Connection, params};

use crate::check::{Checked, check};
use crate::mistakes::{Mistake, makes};
use crate::{FILE, Reader, StoreError, schema};

/// The files beside the journal, by their path below the data directory.
const KEPT: &str = "CREATE TABLE kept (path TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT";

/// A file beside the journal: its path below the data directory, and what is in it.
pub type Kept = (PathBuf, Vec<u8>);

/// Writes the store of this directory, and these files, into a new file of mode 0600. It is there as a whole or not at
/// all, and durable when this returns. The collector may run meanwhile: what it takes in after the beginning is left out.
pub fn backup(directory: &Path, kept: &[Kept], to: &Path) -> Result<Checked, StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::InTheWay(to.to_owned()));
    }
    let part = beside(to);
    let _ = fs::remove_file(&part);
    create(&part).map_err(|source| StoreError::Unwritable { path: to.to_owned(), source })?;
    let result = copy(directory, kept, &part).and_then(|()| {
        let checked = check(&part)?;
        if let Some(problem) = checked.problems.first() {
            return Err(StoreError::Damaged(problem.clone()));
        }
        place(&part, to)?;
        Ok(checked)
    });
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

fn copy(directory: &Path, kept: &[Kept], part: &Path) -> Result<(), StoreError> {
    let source = Reader::open(&directory.join(FILE))?;
    let path = part.to_str().ok_or_else(|| StoreError::Damaged("the file's name is no text".to_owned()))?;
    if makes(Mistake::LogLeftOut) {
        file(part, |part| fs::copy(directory.join(FILE), part).map(drop))?;
    } else {
        source
            .connection
            .execute("VACUUM INTO ?1", [path])
            .map_err(StoreError::database("copy the store"))?;
    }
    let mut copy = Connection::open(part).map_err(StoreError::database("open the copy"))?;
    let write = |copy: &mut Connection| -> rusqlite::Result<()> {
        let transaction = copy.transaction()?;
        transaction.execute_batch(KEPT)?;
        for (path, content) in kept {
            transaction.execute(
                "INSERT INTO kept (path, content) VALUES (?1, ?2)",
                params![path.to_string_lossy(), content],
            )?;
        }
        transaction.commit()
    };
    write(&mut copy).map_err(StoreError::database("write the files beside the journal"))?;
    drop(copy);
    file(part, |path| File::open(path)?.sync_all())
}

/// Makes the data directory of a backup. There must be no store and none of its files in it.
pub fn restore(from: &Path, directory: &Path) -> Result<Checked, StoreError> {
    is_database(from)?;
    let damaged = |why: String| StoreError::NoBackup { path: from.to_owned(), why };
    let checked = check(from).map_err(|error| match error {
        StoreError::Damaged(problem) => damaged(format!("it is damaged: {problem}")),
        other => other,
    })?;
    if let Some(problem) = checked.problems.first() {
        return Err(damaged(format!("it is damaged: {problem}")));
    }
    let kept = kept(from)?;
    let store = directory.join(FILE);
    let targets: Vec<PathBuf> = kept.iter().map(|(path, _)| directory.join(path)).collect();
    if let Some(there) = targets.iter().chain([&store]).find(|path| path.symlink_metadata().is_ok()) {
        return Err(StoreError::Occupied { directory: directory.to_owned(), there: there.clone() });
    }
    for (target, (_, content)) in targets.iter().zip(&kept) {
        let parent = target.parent().unwrap_or(directory);
        file(parent, |path| {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        })?;
        private(target)?;
        file(target, |path| {
            fs::write(path, content)?;
            File::open(path)?.sync_all()
        })?;
    }
    // The store last: without it a collector does not start beside an authority that was used.
    let part = beside(&store);
    let _ = fs::remove_file(&part);
    private(&part)?;
    file(&part, |path| fs::copy(from, path).map(drop))?;
    let copy = Connection::open(&part).map_err(StoreError::database("open the copy"))?;
    copy.execute_batch("DROP TABLE IF EXISTS kept; PRAGMA incremental_vacuum")
        .map_err(StoreError::database("take the files out of the copy"))?;
    drop(copy);
    file(&part, |path| File::open(path)?.sync_all())?;
    place(&part, &store)?;
    Ok(checked)
}

/// The files beside the journal. None leaves the data directory, whatever a backup says.
fn kept(from: &Path) -> Result<Vec<Kept>, StoreError> {
    let connection = schema::open_reader(from)?;
    let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
        let mut query = connection.prepare("SELECT path, content FROM kept ORDER BY path")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let no_backup = |why: String| StoreError::NoBackup { path: from.to_owned(), why };
    let kept = read().map_err(|_| no_backup("it is a collector's store, and no backup of one".to_owned()))?;
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    kept.into_iter()
        .map(|(path, content)| (PathBuf::from(path), content))
        .map(|(path, content)| {
            if inside(&path) && path.components().next().is_some() {
                Ok((path, content))
            } else {
                Err(no_backup(format!("it holds a file for {}", path.display())))
            }
        })
        .collect()
}

/// Refuses what is no file of the form that stores and backups have.
pub fn is_database(path: &Path) -> Result<(), StoreError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let no_backup = |why: String| StoreError::NoBackup { path: path.to_owned(), why };
    let cannot_read = |error: std::io::Error| no_backup(format!("it cannot be read: {error}"));
    if !fs::metadata(path).map_err(cannot_read)?.is_file() {
        return Err(no_backup("it is no file".to_owned()));
    }
    let mut begin = Vec::new();
    File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin)).map_err(cannot_read)?;
    if begin == MAGIC { Ok(()) } else { Err(no_backup("something else is in it".to_owned())) }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// An empty file of mode 0600, whatever the umask.
pub(crate) fn private(path: &Path) -> Result<(), StoreError> {
    file(path, create)
}

fn create(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// Puts a finished file in its place, durably.
fn place(part: &Path, to: &Path) -> Result<(), StoreError> {
    file(part, |path| fs::rename(path, to))?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    file(directory, |path| File::open(path)?.sync_all())
}

fn file(path: &Path, act: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), StoreError> {
    act(path).map_err(|source| StoreError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;

    use evenkeel_facts::{FactPath, SectionBuilder};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::entry::tests::commit;
    use crate::mistakes::making;
    use crate::{Batch, Entry, Record, Writer, open};

    fn filled(directory: &Path, entries: u64) -> Vec<Record> {
        fill(&mut open(directory).unwrap().0, 1..=entries)
    }

    fn fill(writer: &mut Writer, sequences: RangeInclusive<u64>) -> Vec<Record> {
        let mut records = Vec::new();
        for sequence in sequences {
            let mut section = SectionBuilder::new("os");
            section.present(FactPath::known("os.id"), format!("debian {sequence}").repeat(50));
            let section = Arc::new(section.finish());
            let Entry::Committed(mut committed) = commit(Uuid::from_u128(sequence.into()), sequence) else {
                panic!()
            };
            committed.changed[0].digest = section.digest();
            let entries = vec![(Timestamp::UNIX_EPOCH, Entry::Committed(committed))];
            records.extend(writer.append(Batch { entries, sections: vec![section.into()] }).unwrap());
        }
        records
    }

    fn replayed(directory: &Path) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let (_, reader) = open(directory)?;
        reader.replay::<StoreError>(0, |record| {
            if let Entry::Committed(committed) = &record.entry {
                for section in &committed.changed {
                    let missing = || StoreError::Damaged("missing".to_owned());
                    reader.section(section.digest)?.ok_or_else(missing)?;
                }
            }
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    /// Promise P10: a backup restores to what was there, files beside the journal included; it takes the place of nothing.
    #[test]
    fn a_backup_restores() {
        let place = tempfile::tempdir().unwrap();
        let (old, new, to) = (place.path().join("old"), place.path().join("new"), place.path().join("b"));
        fs::create_dir(&old).unwrap();
        let records = filled(&old, 20);
        let (_writer, _reader) = open(&old).unwrap();
        let kept = vec![(PathBuf::from("ca/1/root.key"), b"key".to_vec())];
        let checked = backup(&old, &kept, &to).unwrap();
        assert_eq!((checked.entries, checked.sections), (20, 20));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(backup(&old, &kept, &to), Err(StoreError::InTheWay(_))));

        fs::create_dir(&new).unwrap();
        restore(&to, &new).unwrap();
        assert_eq!(replayed(&new).unwrap(), records);
        let key = new.join("ca/1/root.key");
        assert_eq!(fs::read(&key).unwrap(), b"key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(restore(&to, &new), Err(StoreError::Occupied { .. })));
        assert!(check(&new.join(FILE)).unwrap().problems.is_empty());
        let copy = Connection::open(new.join(FILE)).unwrap();
        assert!(copy.prepare("SELECT * FROM kept").is_err(), "keys are in the store no longer");
    }

    /// The entries that a backup, made beside a writer that has just written, has lost.
    fn lost_by_a_backup() -> usize {
        let place = tempfile::tempdir().unwrap();
        let (old, new, to) = (place.path().join("old"), place.path().join("new"), place.path().join("b"));
        for directory in [&old, &new] {
            fs::create_dir(directory).unwrap();
        }
        let mut records = filled(&old, 20);
        let (mut writer, _) = open(&old).unwrap();
        records.extend(fill(&mut writer, 21..=25));
        backup(&old, &[], &to).unwrap();
        restore(&to, &new).unwrap();
        let there = replayed(&new).unwrap();
        records.iter().filter(|record| !there.contains(record)).count()
    }

    /// Promise P10: everything that was appended before a backup began is in it.
    #[test]
    fn a_backup_holds_what_was_just_written() {
        assert_eq!(lost_by_a_backup(), 0);
    }

    /// Its control: a backup that is the file alone is noticed.
    #[test]
    fn a_backup_without_the_log_is_noticed() {
        assert_eq!(making(Mistake::LogLeftOut, lost_by_a_backup), 5);
    }

    /// Promise: whoever names the wrong file or place is told what is wrong with it, and what to do.
    #[test]
    fn what_is_no_backup_is_refused_in_words() {
        let place = tempfile::tempdir().unwrap();
        let (store, text) = (place.path().join("store"), place.path().join("text"));
        fs::create_dir(&store).unwrap();
        filled(&store, 1);
        fs::write(&text, "hello").unwrap();
        let missing = place.path().join("missing");
        for (file, why) in [
            (&text, "something else is in it"),
            (&store, "it is no file"),
            (&missing, "it cannot be read: No such file or directory (os error 2)"),
            (&store.join(FILE), "it is a collector's store, and no backup of one"),
        ] {
            assert_eq!(
                restore(file, &place.path().join("new")).unwrap_err().to_string(),
                format!(
                    "{} is no backup that could be restored: {why}\n\
                     Name a file that `evenkeel-collector backup FILE` wrote.",
                    file.display()
                )
            );
        }
        let to = missing.join("b");
        assert_eq!(
            backup(&store, &[], &to).unwrap_err().to_string(),
            format!(
                "cannot write {}: No such file or directory (os error 2)\n\
                 See whether its directory is there and this user may write to it.",
                to.display()
            )
        );
        let to = place.path().join("b");
        backup(&store, &[], &to).unwrap();
        assert_eq!(
            restore(&to, &store).unwrap_err().to_string(),
            format!(
                "{} holds a collector already ({FILE}): name an empty directory with --data-dir, nothing is written over",
                store.display()
            )
        );
    }

    /// Promise: a backup writes nothing outside of the data directory.
    #[test]
    fn a_hostile_backup_stays_inside() {
        for path in ["../evil", "/tmp/evil", "ca/../../evil", ""] {
            let place = tempfile::tempdir().unwrap();
            let (old, new, to) = (place.path().join("old"), place.path().join("new"), place.path().join("b"));
            fs::create_dir(&old).unwrap();
            filled(&old, 1);
            backup(&old, &[(path.into(), b"evil".to_vec())], &to).unwrap();
            let refused = restore(&to, &new).unwrap_err().to_string();
            assert!(refused.contains("it holds a file for"), "{refused}");
            assert!(!new.exists());
        }
    }

    /// One bit turns, here and there in a store. How often that was found, and the places at which another content was served
    /// and nothing said so.
    fn turn_bits() -> (usize, Vec<usize>) {
        let place = tempfile::tempdir().unwrap();
        let good = place.path().join("good");
        fs::create_dir(&good).unwrap();
        let records = filled(&good, 60);
        let bytes = fs::read(good.join(FILE)).unwrap();
        assert!(bytes.len() > 10 * 4096, "the log was taken into the file");
        let (mut found, mut served_wrong) = (0, Vec::new());
        for at in (0..bytes.len()).step_by(1009) {
            let directory = place.path().join(format!("{at}"));
            fs::create_dir(&directory).unwrap();
            let mut turned = bytes.clone();
            turned[at] ^= 1 << (at % 8);
            fs::write(directory.join(FILE), turned).unwrap();
            let is_found =
                !matches!(check(&directory.join(FILE)), Ok(checked) if checked.problems.is_empty());
            match replayed(&directory) {
                Ok(served) if served != records && !is_found => served_wrong.push(at),
                Ok(_) => {}
                Err(_) => found += 1,
            }
            fs::remove_dir_all(&directory).unwrap();
        }
        (found, served_wrong)
    }

    /// Promise P6: one bit that turned, wherever it is, is found, or changes nothing of what is served.
    #[test]
    fn a_bit_that_turned_is_found() {
        let (found, served_wrong) = turn_bits();
        assert_eq!(served_wrong, Vec::<usize>::new());
        assert!(found > 10, "{found} found");
    }

    /// Its control: a store that believes what it reads is noticed.
    #[test]
    fn digests_that_are_not_looked_at_are_noticed() {
        let (_, served_wrong) = making(Mistake::DigestsBelieved, turn_bits);
        assert_ne!(served_wrong, Vec::<usize>::new());
    }
}
