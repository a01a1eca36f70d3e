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
    let (_, reader) = evenkeel_store::open(data_dir).expect("the store opens");
    let mut commits = Vec::new();
    let read = reader.replay(0, |record| {
        if let Entry::Committed(Committed { node, root, .. }) = record.entry {
            commits.push((node.to_string(), root));
        }
        Ok::<_, StoreError>(())
    });
    read.expect("the journal is readable");
    commits
}
