//! Looks at everything that a store holds: pages, entries, contents, and whether each content that an entry names is
//! there. Reads only, also beside a collector that runs.

use std::collections::HashSet;
use std::path::Path;

use evenkeel_facts::Digest;
use rusqlite::Connection;

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
    /// Bytes of the file.
    pub bytes: u64,
    /// What is wrong, in words; at most [`TOLD`] of them, and how many more there are.
    pub problems: Vec<String>,
}

/// Checks the store in this file. An error says that it could not be looked at; what is damaged is in the answer.
pub fn check(path: &Path) -> Result<Checked, StoreError> {
    let reader = Reader::open(path)?;
    let connection = &reader.connection;
    schema::is_ours(connection)?;
    let found = schema::version(connection)?;
    if found > SCHEMA {
        return Err(StoreError::Newer { found, known: SCHEMA });
    }
    let mut checked =
        Checked { bytes: std::fs::metadata(path).map_or(0, |file| file.len()), ..Checked::default() };
    let mut problems = pages(connection);
    let sections = contents(&reader, &mut checked, &mut problems);
    journal(&reader, &sections, &mut checked, &mut problems);
    let more = problems.len().saturating_sub(TOLD);
    problems.truncate(TOLD);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    checked.problems = problems;
    Ok(checked)
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
    let digests = || -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut query = reader.connection.prepare("SELECT digest FROM section")?;
        let rows = query.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let mut good = HashSet::new();
    let digests = digests().unwrap_or_else(|error| {
        problems.push(format!("the contents cannot be listed: {error}"));
        Vec::new()
    });
    for bytes in digests {
        checked.sections += 1;
        let Ok(digest) = Digest::try_from(bytes.as_slice()) else {
            problems.push("a content has no digest".to_owned());
            continue;
        };
        match reader.section(digest) {
            Ok(Some(_)) => drop(good.insert(digest)),
            Ok(None) => problems.push(format!("section {digest} is listed and not there")),
            Err(error) => problems.push(what(&error)),
        }
    }
    good
}

/// Every entry in its order, and whether what it names is there.
fn journal(reader: &Reader, sections: &HashSet<Digest>, checked: &mut Checked, problems: &mut Vec<String>) {
    let (mut missing, mut administrative) = (HashSet::new(), Vec::new());
    let replayed = reader.replay::<StoreError>(0, |record| {
        checked.entries = record.position;
        if record.entry.is_administrative() {
            administrative.push(record.position.cast_signed());
        }
        let named: Vec<Digest> = match &record.entry {
            Entry::Committed(Committed { changed, .. }) => {
                changed.iter().map(|section| section.digest).collect()
            }
            Entry::BaselineCreated(BaselineCreated { sections, .. }) => {
                sections.iter().map(|section| section.digest).collect()
            }
            _ => Vec::new(),
        };
        for digest in named {
            if !sections.contains(&digest) && missing.insert(digest) {
                problems
                    .push(format!("entry {} names section {digest}, which is not there", record.position));
            }
        }
        Ok(())
    });
    if let Err(error) = replayed {
        return problems.push(what(&error));
    }
    let audited = || -> rusqlite::Result<Vec<i64>> {
        let mut query = reader.connection.prepare("SELECT position FROM audit ORDER BY position")?;
        let rows = query.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    if audited().ok().as_ref() != Some(&administrative) {
        problems.push("the audit does not name the entries that it should".to_owned());
    }
}

/// Without what to do: that is said once, behind all of them.
fn what(error: &StoreError) -> String {
    match error {
        StoreError::Damaged(why) => why.clone(),
        StoreError::Database { operation, source } => format!("cannot {operation}: {source}"),
        other => other.to_string(),
    }
}
