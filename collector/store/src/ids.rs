//! The numbers that stand for nodes, section names and contents in the journal. The writer gives them; readers look up what
//! they stand for.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use evenkeel_facts::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::StoreError;
use crate::content::Content;
use crate::packed::{Meaning, Number};

/// So many of each kind are remembered; then all of them are forgotten, and looked up again.
const REMEMBERED: usize = 1 << 14;

/// What the writer knows of numbers.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    nodes: HashMap<Uuid, u64>,
    names: HashMap<String, u64>,
    /// Only of contents that the store holds.
    sections: HashMap<Digest, u64>,
    /// The next that is free. While a store is open none is given twice, so that a number that a reader remembers never
    /// comes to stand for something else.
    next_section: u64,
    next_name: u64,
    /// What was named since a sweep began to look: none of it may be swept.
    pub(crate) named: Option<Named>,
}

/// Numbers of contents and of names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) sections: HashSet<u64>,
    pub(crate) names: HashSet<u64>,
}

impl Ids {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let next = |table: &str| -> rusqlite::Result<u64> {
            let last: Option<i64> =
                connection.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))?;
            Ok(last.unwrap_or(0).cast_unsigned() + 1)
        };
        Ok(Self { next_section: next("section")?, next_name: next("name")?, ..Self::default() })
    }

    pub(crate) fn next_section(&self) -> u64 {
        self.next_section
    }

    /// What was remembered may be of a transaction that came to nothing, or may be gone.
    pub(crate) fn forget(&mut self) {
        self.nodes.clear();
        self.names.clear();
        self.sections.clear();
    }
}

/// Gives numbers within a transaction. `contents` are those that come with the batch.
pub(crate) struct Numbers<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) ids: &'a mut Ids,
    pub(crate) contents: HashMap<Digest, &'a Content>,
}

impl Numbers<'_> {
    pub(crate) fn of_node(&mut self, node: Uuid) -> Result<u64, StoreError> {
        if let Some(id) = self.ids.nodes.get(&node) {
            return Ok(*id);
        }
        let find = "SELECT id FROM node WHERE uuid = ?1";
        let id = if let Some(id) = self.find(find, node.as_bytes(), |row| row.get::<_, i64>(0))? {
            id
        } else {
            let mut put = self.prepare("INSERT INTO node (uuid) VALUES (?1)")?;
            put.insert([node.as_bytes()]).map_err(StoreError::database("number a node"))?
        };
        remember(&mut self.ids.nodes, node, id.cast_unsigned());
        Ok(id.cast_unsigned())
    }

    fn find<T>(
        &self,
        sql: &str,
        key: impl rusqlite::ToSql,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let found = self.prepare(sql)?.query_row([key], read).optional();
        found.map_err(StoreError::database("look up a number"))
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(StoreError::database("prepare"))
    }

    fn find_name(&mut self, name: &str) -> Result<u64, StoreError> {
        let find = "SELECT id FROM name WHERE name = ?1";
        let id = if let Some(id) = self.find(find, name, |row| row.get::<_, i64>(0))? {
            id.cast_unsigned()
        } else {
            let id = self.ids.next_name;
            let mut put = self.prepare("INSERT INTO name (id, name) VALUES (?1, ?2)")?;
            put.execute(params![id.cast_signed(), name]).map_err(StoreError::database("number a name"))?;
            drop(put);
            self.ids.next_name += 1;
            id
        };
        remember(&mut self.ids.names, name.to_owned(), id);
        Ok(id)
    }

    fn find_section(&mut self, digest: Digest) -> Result<u64, StoreError> {
        let find = "SELECT id, coalesce(length(content), 0) > 0 FROM section \
            WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1";
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, bool>(1)?));
        let found = self.find(find, digest.as_bytes().as_slice(), row)?;
        let brought = self.contents.get(&digest).copied();
        let (id, is_held) = match (found, brought) {
            (Some((id, true)), _) => (id, true),
            (Some((id, false)), None) => (id, false),
            (Some((id, false)), Some(content)) => {
                let mut put = self.prepare("UPDATE section SET content = ?2 WHERE id = ?1")?;
                put.execute(params![id.cast_signed(), &*content.kept()])
                    .map_err(StoreError::database("write a section"))?;
                (id, true)
            }
            (None, brought) => {
                let id = self.ids.next_section;
                let kept = brought.map(Content::kept);
                let mut put =
                    self.prepare("INSERT INTO section (id, digest, content) VALUES (?1, ?2, ?3)")?;
                put.execute(params![id.cast_signed(), digest.as_bytes().as_slice(), kept.as_deref()])
                    .map_err(StoreError::database("write a section"))?;
                drop(put);
                self.ids.next_section += 1;
                (id, brought.is_some())
            }
        };
        if is_held {
            remember(&mut self.ids.sections, digest, id);
        }
        Ok(id)
    }
}

impl Number for Numbers<'_> {
    type Error = StoreError;

    fn of_name(&mut self, name: &str) -> Result<u64, StoreError> {
        let known = self.ids.names.get(name).copied();
        let id = known.map_or_else(|| self.find_name(name), Ok)?;
        if let Some(named) = &mut self.ids.named {
            named.names.insert(id);
        }
        Ok(id)
    }

    fn of_section(&mut self, digest: Digest) -> Result<u64, StoreError> {
        let id = match self.ids.sections.get(&digest) {
            Some(id) => *id,
            None => self.find_section(digest)?,
        };
        if let Some(named) = &mut self.ids.named {
            named.sections.insert(id);
        }
        Ok(id)
    }
}

/// What a reader knows of numbers.
#[derive(Debug, Default)]
pub(crate) struct Meanings {
    nodes: RefCell<HashMap<u64, Uuid>>,
    names: RefCell<HashMap<u64, String>>,
    sections: RefCell<HashMap<u64, Digest>>,
}

/// Looks numbers up.
pub(crate) struct Lookup<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) known: &'a Meanings,
}

impl Lookup<'_> {
    pub(crate) fn node(&self, number: u64) -> Result<Uuid, String> {
        let read = |bytes: Vec<u8>| Uuid::from_slice(&bytes).map_err(|error| error.to_string());
        self.look(&self.known.nodes, number, ("node", "SELECT uuid FROM node WHERE id = ?1"), read)
    }

    fn look<K: Clone, T: rusqlite::types::FromSql>(
        &self,
        known: &RefCell<HashMap<u64, K>>,
        number: u64,
        (what, sql): (&str, &str),
        read: impl FnOnce(T) -> Result<K, String>,
    ) -> Result<K, String> {
        if let Some(meaning) = known.borrow().get(&number) {
            return Ok(meaning.clone());
        }
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row([number.cast_signed()], |row| row.get(0)).optional())
            .map_err(|error| error.to_string())?;
        let meaning =
            read(found.ok_or_else(|| format!("it names {what} number {number}, which is not there"))?)?;
        remember(&mut known.borrow_mut(), number, meaning.clone());
        Ok(meaning)
    }
}

impl Meaning for Lookup<'_> {
    fn name(&self, number: u64) -> Result<String, String> {
        self.look(&self.known.names, number, ("name", "SELECT name FROM name WHERE id = ?1"), Ok)
    }

    fn section(&self, number: u64) -> Result<Digest, String> {
        let read = |bytes: Vec<u8>| Digest::try_from(bytes.as_slice()).map_err(|error| error.to_string());
        self.look(&self.known.sections, number, ("section", "SELECT digest FROM section WHERE id = ?1"), read)
    }
}

fn remember<K: Eq + std::hash::Hash, V>(known: &mut HashMap<K, V>, key: K, value: V) {
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, value);
}
