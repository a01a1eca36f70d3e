//! What the collector's store holds, read behind its back.

use std::path::Path;

use evenkeel_facts::Digest;
use evenkeel_store::entry::Committed;
use evenkeel_store::{Entry, StoreError};

/// Every commit in the journal, oldest first: the node's UUID and the root digest.
///
/// # Panics
///
/// When the store cannot be read.
pub fn commits(data_dir: &Path) -> Vec<(String, Digest)> {
    let (_, commits) = committed(data_dir, 0).expect("the store opens and is readable");
    let commits = commits.into_iter();
    commits.map(|commit| (commit.node.to_string(), commit.root)).collect()
}

/// Every commit behind this position of the journal, oldest first; and the journal's last position.
pub fn committed(data_dir: &Path, after: u64) -> Result<(u64, Vec<Committed>), StoreError> {
    let (writer, reader) = evenkeel_store::open(data_dir)?;
    let mut commits = Vec::new();
    reader.replay(after, |record| {
        if let Entry::Committed(commit) = record.entry {
            commits.push(commit);
        }
        Ok::<_, StoreError>(())
    })?;
    Ok((writer.position(), commits))
}
