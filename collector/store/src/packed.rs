//! Commits as they lie in the journal: nodes, section names and contents by short numbers, as there are a few names and
//! contents, and many commits that repeat them.
//!
//! The digest of an entry is taken over what it says and not over these bytes, so that a number that leads elsewhere is
//! noticed.

use evenkeel_facts::{Digest, SectionDigest};
use jiff::Timestamp;
use prost::Message;
use uuid::Uuid;

use crate::entry::nodes::{AuthorBytes, LabelsBytes};
use crate::entry::{Committed, Entry};

/// How every packed commit begins: its field's number, 60.
const MARK: [u8; 2] = [0xe2, 0x03];

#[derive(Clone, PartialEq, Message)]
struct Outer {
    #[prost(message, optional, tag = "60")]
    commit: Option<Commit>,
}

#[derive(Clone, PartialEq, Message)]
struct Commit {
    #[prost(uint64, tag = "1")]
    boot_epoch: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    /// How long before the entry the sweep began, in milliseconds by two clocks.
    #[prost(sint64, tag = "3")]
    before: i64,
    #[prost(bytes = "vec", tag = "4")]
    root: Vec<u8>,
    /// Name, content, name, content, and so on.
    #[prost(uint64, repeated, tag = "5")]
    changed: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    removed: Vec<u64>,
    #[prost(message, optional, tag = "8")]
    labels: Option<LabelsBytes>,
    #[prost(message, repeated, tag = "30")]
    authors: Vec<AuthorBytes>,
}

/// Gives numbers.
pub(crate) trait Number {
    type Error;
    fn of_name(&mut self, name: &str) -> Result<u64, Self::Error>;
    fn of_section(&mut self, digest: Digest) -> Result<u64, Self::Error>;
}

/// Knows what numbers stand for.
pub(crate) trait Meaning {
    fn name(&self, number: u64) -> Result<String, String>;
    fn section(&self, number: u64) -> Result<Digest, String>;
}

/// The bytes of an entry as they lie in the journal, if it has another form there than [`Entry::encode`] gives.
pub(crate) fn pack<N: Number>(
    entry: &Entry,
    at: Timestamp,
    numbers: &mut N,
) -> Result<Option<Vec<u8>>, N::Error> {
    let Entry::Committed(committed) = entry else { return Ok(None) };
    let Committed { node: _, boot_epoch, sequence, taken_at, root, changed, removed, labels, authors } =
        committed;
    let mut pairs = Vec::with_capacity(2 * changed.len());
    for SectionDigest { name, digest } in changed {
        pairs.extend([numbers.of_name(name)?, numbers.of_section(*digest)?]);
    }
    let commit = Commit {
        boot_epoch: *boot_epoch,
        sequence: *sequence,
        before: at.as_millisecond() - taken_at.as_millisecond(),
        root: root.as_bytes().to_vec(),
        changed: pairs,
        removed: removed.iter().map(|name| numbers.of_name(name)).collect::<Result<_, _>>()?,
        labels: labels.clone().map(Into::into),
        authors: authors.iter().cloned().map(Into::into).collect(),
    };
    Ok(Some(Outer { commit: Some(commit) }.encode_to_vec()))
}

/// Whether these bytes are packed.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MARK)
}

/// What was packed.
pub(crate) fn unpack(
    bytes: &[u8],
    at: Timestamp,
    node: Option<Uuid>,
    meanings: &impl Meaning,
) -> Result<Entry, String> {
    let outer = Outer::decode(bytes).map_err(|error| error.to_string())?;
    let Commit { boot_epoch, sequence, before, root, changed, removed, labels, authors } =
        outer.commit.ok_or("an entry of a kind that this version does not know")?;
    let section = |pair: &[u64]| match pair {
        [name, digest] => {
            Ok(SectionDigest { name: meanings.name(*name)?, digest: meanings.section(*digest)? })
        }
        _ => Err("a section without a name".to_owned()),
    };
    let taken_at = at.as_millisecond().checked_sub(before).ok_or("a time that cannot be")?;
    Ok(Entry::Committed(Committed {
        node: node.ok_or("a commit of no node")?,
        boot_epoch,
        sequence,
        taken_at: Timestamp::from_millisecond(taken_at).map_err(|error| error.to_string())?,
        root: Digest::try_from(root.as_slice()).map_err(|error| error.to_string())?,
        changed: changed.chunks(2).map(section).collect::<Result<_, _>>()?,
        removed: removed.into_iter().map(|name| meanings.name(name)).collect::<Result<_, _>>()?,
        labels: labels.map(Into::into),
        authors: authors.into_iter().map(Into::into).collect(),
    }))
}

/// The contents that these bytes name, by number, and the names; nothing for an entry that is not packed.
pub(crate) fn named(bytes: &[u8]) -> Result<(Vec<u64>, Vec<u64>), String> {
    if !is_packed(bytes) {
        return Ok((Vec::new(), Vec::new()));
    }
    let outer = Outer::decode(bytes).map_err(|error| error.to_string())?;
    let Some(Commit { changed, mut removed, .. }) = outer.commit else { return Ok((Vec::new(), Vec::new())) };
    removed.extend(changed.iter().step_by(2));
    Ok((changed.into_iter().skip(1).step_by(2).collect(), removed))
}
