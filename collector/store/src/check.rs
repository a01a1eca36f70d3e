//! Looks at everything that a store holds: pages, entries, contents, and whether each content that an entry names is
//! there. Reads only, also beside a collector that runs.

use std::collections::HashSet;
use std::path::Path;

use evenkeel_facts::{Digest, SectionDigest};
use rusqlite::Connection;

use crate::backup;
use crate::entry::{BaselineCreated, Committed, Entry};
use crate::schema::{self, SCHEMA};
use crate::{Reader, StoreError};

/// So many problems are told one by one.
const TOLD: usize = 20;

/// What a store holds, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Entries of the journal.
    pub entries: u64,
    /// Contents.
    pub sections: u64,
    /// Of them, those that were found damaged and put aside: said when it happened, and no problem any more.
    pub put_aside: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// What is wrong, in words; at most [`TOLD`] of them, and how many more there are.
    pub problems: Vec<String>,
}

/// Checks the store in this file. An error says that it could not be looked at; what is damaged is in the answer. A store of
/// an older version is checked as what this version makes of it, in a copy beside it.
pub fn check(path: &Path) -> Result<Checked, StoreError> {
    check_and(path, |_| Ok(()))
}

/// Checks the store in this file, and where nothing is wrong asks `last`, which is handed what this version reads.
pub fn check_and(
    path: &Path,
    last: impl FnOnce(&Reader) -> Result<(), StoreError>,
) -> Result<Checked, StoreError> {
    let reader = Reader::open(path)?;
    schema::is_ours(&reader.connection)?;
    match schema::version(&reader.connection)? {
        SCHEMA => Ok(look(&reader, path, last)),
        found if found > SCHEMA => Err(StoreError::Newer { found, known: SCHEMA }),
        _ => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".checked");
            let copy = path.with_file_name(name);
            let checked = check_copy(&reader, &copy, last);
            for suffix in ["", "-wal", "-shm"] {
                let mut name = copy.clone().into_os_string();
                name.push(suffix);
                let _ = std::fs::remove_file(name);
            }
            Ok(Checked { bytes: std::fs::metadata(path).map_or(0, |file| file.len()), ..checked? })
        }
    }
}

fn check_copy(
    reader: &Reader,
    copy: &Path,
    last: impl FnOnce(&Reader) -> Result<(), StoreError>,
) -> Result<Checked, StoreError> {
    let _ = std::fs::remove_file(copy);
    // A backup holds keys.
    backup::private(copy)?;
    let name = copy.to_str().ok_or_else(|| StoreError::Damaged("the file's name is no text".to_owned()))?;
    reader.connection.execute("VACUUM INTO ?1", [name]).map_err(StoreError::database("copy the store"))?;
    match schema::open(copy) {
        Ok(connection) => drop(connection),
        Err(error @ (StoreError::Damaged(_) | StoreError::DamagedSection { .. })) => {
            return Ok(Checked { problems: vec![what(&error)], ..Checked::default() });
        }
        Err(error) => return Err(error),
    }
    Ok(look(&Reader::open(copy)?, copy, last))
}

fn look(reader: &Reader, path: &Path, last: impl FnOnce(&Reader) -> Result<(), StoreError>) -> Checked {
    let mut checked =
        Checked { bytes: std::fs::metadata(path).map_or(0, |file| file.len()), ..Checked::default() };
    let mut problems = pages(&reader.connection);
    let sections = contents(reader, &mut checked, &mut problems);
    journal(reader, &sections, &mut checked, &mut problems);
    checkpoints(reader, &sections, &mut problems);
    if problems.is_empty() {
        problems.extend(last(reader).err().map(|error| what(&error)));
    }
    let more = problems.len().saturating_sub(TOLD);
    problems.truncate(TOLD);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    checked.problems = problems;
    checked
}

/// What SQLite itself says of the file.
fn pages(connection: &Connection) -> Vec<String> {
    let said = || -> rusqlite::Result<Vec<String>> {
        let mut query = connection.prepare("PRAGMA integrity_check")?;
        let rows = query.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect()
    };
    match said() {
        Ok(said) => said.into_iter().filter(|line| line != "ok").collect(),
        Err(error) => vec![format!("the file cannot be checked: {error}")],
    }
}

/// Every content against its digest. Those that are as they should be.
fn contents(reader: &Reader, checked: &mut Checked, problems: &mut Vec<String>) -> HashSet<Digest> {
    let digests = || -> rusqlite::Result<Vec<(Vec<u8>, bool)>> {
        let mut query = reader
            .connection
            .prepare("SELECT digest, length(content) = 0 FROM section WHERE content IS NOT NULL")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let mut good = HashSet::new();
    let digests = digests().unwrap_or_else(|error| {
        problems.push(format!("the contents cannot be listed: {error}"));
        Vec::new()
    });
    for (bytes, aside) in digests {
        checked.sections += 1;
        let Ok(digest) = Digest::try_from(bytes.as_slice()) else {
            problems.push("a content has no digest".to_owned());
            continue;
        };
        match reader.section(digest) {
            Ok(Some(_)) => drop(good.insert(digest)),
            Ok(None) if aside => {
                checked.put_aside += 1;
                good.insert(digest);
            }
            Ok(None) => problems.push(format!("section {digest} is listed and not there")),
            Err(error) => problems.push(what(&error)),
        }
    }
    good
}

/// Every entry in its order, and whether what it names is there. What was cut off is missed by nobody.
fn journal(reader: &Reader, sections: &HashSet<Digest>, checked: &mut Checked, problems: &mut Vec<String>) {
    let base = reader.base().unwrap_or_else(|error| {
        problems.push(what(&error));
        0
    });
    let (mut missing, mut administrative, mut unread) = (HashSet::new(), Vec::new(), HashSet::new());
    let mut expected = base + 1;
    let walked = reader.walk(|position, entry| {
        checked.entries += 1;
        if i64::try_from(position).is_err() {
            return problems.push(format!("an entry stands at {}, before the first", position.cast_signed()));
        }
        if position > base {
            match position - expected {
                0 => {}
                1 => problems.push(format!("entry {expected} of the journal is missing")),
                _ => problems
                    .push(format!("entries {expected} to {} of the journal are missing", position - 1)),
            }
            expected = position + 1;
        }
        let record = match entry {
            Ok(record) => record,
            Err(error) => {
                unread.insert(position.cast_signed());
                return problems.push(what(&error));
            }
        };
        if record.entry.is_administrative() {
            administrative.push(position.cast_signed());
        }
        let named: &[SectionDigest] = match &record.entry {
            // A baseline of then may have been forgotten since.
            _ if position <= base => &[],
            Entry::Committed(Committed { changed, .. }) => changed,
            Entry::BaselineCreated(BaselineCreated { sections, .. }) => sections,
            _ => &[],
        };
        for SectionDigest { digest, .. } in named {
            if !sections.contains(digest) && missing.insert(*digest) {
                problems.push(format!("entry {position} names section {digest}, which is not there"));
            }
        }
    });
    if let Err(error) = walked {
        problems.push(format!("behind {} entries: {}", checked.entries, what(&error)));
        return;
    }
    let audited = || -> rusqlite::Result<Vec<i64>> {
        let mut query = reader.connection.prepare("SELECT position FROM audit ORDER BY position")?;
        let rows = query.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    // What cannot be read may belong to it or not.
    let known =
        |audited: Vec<i64>| audited.into_iter().filter(|position| !unread.contains(position)).collect();
    if audited().ok().map(known).as_ref() != Some(&administrative) {
        problems.push("the audit does not name the entries that it should".to_owned());
    }
}

/// Every part of the checkpoints that count, and whether what they name is there.
fn checkpoints(reader: &Reader, sections: &HashSet<Digest>, problems: &mut Vec<String>) {
    let checkpoints = reader.checkpoints().unwrap_or_default();
    for position in reader.damaged_checkpoints().unwrap_or_default() {
        let why = "it has another digest than it was written with";
        problems.push(format!("the checkpoint after entry {position}: {why}"));
    }
    let mut missing = HashSet::new();
    for checkpoint in checkpoints {
        let position = checkpoint.position;
        let read = reader.parts::<StoreError>(checkpoint, |part| {
            for SectionDigest { digest, .. } in part.sections() {
                if !sections.contains(digest) && missing.insert(*digest) {
                    problems.push(format!(
                        "the checkpoint after entry {position} names section {digest}, which is not there"
                    ));
                }
            }
            Ok(())
        });
        problems.extend(read.err().map(|error| what(&error)));
    }
}

/// Without what to do: that is said once, behind all of them.
fn what(error: &StoreError) -> String {
    match error {
        StoreError::Damaged(why) => why.clone(),
        StoreError::DamagedSection { digest, why } => format!("section {digest}: {why}"),
        StoreError::Database { operation, source } => format!("cannot {operation}: {source}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_facts::{FactPath, SectionBuilder};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::entry::tests::commit;
    use crate::{Batch, FILE, open};

    /// Promise P6: everything that is wrong is listed, not only the first of it.
    #[test]
    fn every_problem_is_listed() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(directory.path()).unwrap();
        let mut section = SectionBuilder::new("sysctl.net");
        section.present(FactPath::known("sysctl.net.a"), "1");
        let section = Arc::new(section.finish());
        let entries = (1..=9).map(|sequence| {
            let Entry::Committed(mut committed) = commit(Uuid::nil(), sequence) else { panic!() };
            committed.changed[0].digest = section.digest();
            (Timestamp::UNIX_EPOCH, Entry::Committed(committed))
        });
        let batch = Batch { entries: entries.collect(), sections: vec![Arc::clone(&section).into()] };
        writer.append(batch).unwrap();
        let path = directory.path().join(FILE);
        let told = |checked: Checked| (checked.sections, checked.put_aside, checked.problems);
        assert_eq!(told(check(&path).unwrap()), (1, 0, vec![]));
        // What is good is not put aside; what is known to be lost is no news.
        writer.quarantine(section.digest()).unwrap();
        assert_eq!(told(check(&path).unwrap()), (1, 0, vec![]));
        writer.connection.execute_batch("UPDATE section SET content = x'00'").unwrap();
        writer.quarantine(section.digest()).unwrap();
        assert_eq!(told(check(&path).unwrap()), (1, 1, vec![]));
        writer
            .connection
            .execute_batch(
                "UPDATE journal SET at = at + 1 WHERE position IN (2, 8);
                DELETE FROM journal WHERE position IN (4, 5, 7);
                UPDATE section SET content = NULL",
            )
            .unwrap();
        let digest = section.digest();
        assert_eq!(
            check(&path).unwrap().problems,
            [
                format!("entry 1 names section {digest}, which is not there"),
                "entry 2 of the journal: it has another digest than it was written with".to_owned(),
                "entries 4 to 5 of the journal are missing".to_owned(),
                "entry 7 of the journal is missing".to_owned(),
                "entry 8 of the journal: it has another digest than it was written with".to_owned(),
            ]
        );
    }

    /// Promise P6: also a position that no entry can have is said, and nothing ends because of it.
    #[test]
    fn an_entry_before_the_first_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(directory.path()).unwrap();
        let entries = vec![(Timestamp::UNIX_EPOCH, commit(Uuid::nil(), 1)); 2];
        writer.append(Batch { entries, sections: vec![] }).unwrap();
        writer.connection.execute_batch("UPDATE journal SET position = -1 WHERE position = 2").unwrap();
        let problems = check(&directory.path().join(FILE)).unwrap().problems;
        assert_eq!(problems[0], "an entry stands at -1, before the first");
    }
}
