//! The journal and the contents that it names, durably. Knows nothing of networks, certificates or drift.
//!
//! All state of a collector is a function of a journal prefix: it is replayed at start. Nothing outside of this crate
//! knows that SQLite is behind it.
//!
//! # Layout
//!
//! - [`entry`]: what the journal says, and its bytes
//! - [`journal`]: what a journal is, whatever keeps it
//! - [`writer`]: appends batches; an append that returned is durable
//! - [`reader`]: replays, looks up contents, walks one node's history; never waits for the writer
//! - [`backup`](mod@backup): a whole store in one file, and back
//! - [`check`](mod@check): looks at everything that a store holds
//! - [`checkpoint`]: the whole state after an entry, in parts
//! - [`retention`]: checkpoints, and what is cut off behind them; `whole`: what is said of those that count
//! - [`content`]: sections on their way in, and the form in which they are kept
//! - `packed`, `ids`: commits as they lie in the journal, and the numbers that stand for names there
//! - `mistakes`: what tests do wrong on purpose
//! - `schema`, `migrate`: tables, versions, and what is checked when a store is opened

pub mod backup;
pub mod check;
pub mod checkpoint;
pub mod content;
pub mod entry;
mod ids;
pub mod journal;
mod migrate;
mod mistakes;
mod packed;
pub mod reader;
pub mod retention;
mod schema;
mod whole;
mod writer;

use std::path::{Path, PathBuf};

pub use backup::{backup, restore};
pub use check::{Checked, check, check_and};
pub use content::Content;
pub use entry::{Entry, Record};
pub use journal::{Journal, Log, Memory};
pub use reader::Reader;
pub use retention::{Checkpoint, Marked, Size};
pub use writer::{Batch, Writer};

/// The store's file in the data directory.
pub const FILE: &str = "evenkeel.db";

/// The store failed, or what it holds is not what was put in.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("cannot {operation} in the store")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file cannot be opened or protected.
    #[error("cannot open the store {}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a newer version.
    #[error(
        "the store has schema {found}, this version knows schemas up to {known}: start the version that wrote it, or a newer one"
    )]
    Newer {
        /// The schema in the file.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A file would have to be written over.
    #[error("{} is there already: nothing is written over", .0.display())]
    InTheWay(PathBuf),
    /// The data directory of a restored collector holds one already.
    #[error(
        "{} holds a collector already ({}): name an empty directory with --data-dir, nothing is written over",
        .directory.display(),
        .there.strip_prefix(.directory).unwrap_or(.there).display()
    )]
    Occupied {
        /// The directory.
        directory: PathBuf,
        /// What is in it.
        there: PathBuf,
    },
    /// A backup cannot be written there.
    #[error("cannot write {}: {source}\nSee whether its directory is there and this user may write to it.", .path.display())]
    Unwritable {
        /// The backup.
        path: PathBuf,
        /// What the system said. Not the error's source: the sentence has it.
        source: std::io::Error,
    },
    /// A file that is to be read as a backup is none, or is not whole.
    #[error("{} is no backup that could be restored: {why}\nName a file that `evenkeel-collector backup FILE` wrote.", .path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is damaged, or is not a store.
    #[error("the store is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// One content is damaged.
    #[error("the store is damaged: section {digest}: {why}; restore it from a backup")]
    DamagedSection {
        /// Which.
        digest: evenkeel_facts::Digest,
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    fn database(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { operation, source: source.into() }
    }
}

/// Opens the store in this directory, creating it if there is none. There must be one writer only.
pub fn open(directory: &Path) -> Result<(Writer, Reader), StoreError> {
    let path = directory.join(FILE);
    let writer = Writer::new(schema::open(&path)?, &path)?;
    Ok((writer, Reader::open(&path)?))
}
