//! The words for what a node is. Pure: knows nothing about machines, networks or storage.
//!
//! # Layout
//!
//! - [`path`]: the name of one fact, and globs over such names
//! - [`observation`]: what was seen at a path: present, absent, or unreadable with a reason
//! - [`section`]: all observations of one source, in canonical order
//! - [`encoding`]: the one canonical byte form of a section; digests, wire and disk all use it
//! - [`escape`](mod@escape): text that came from a machine, made fit to be shown
//! - [`author`]: who changed something, as far as it could be seen
//! - [`natural`]: the order in which people read names
//! - [`delta`]: what turns one section into another
//! - [`bundle`]: sections as they travel to somebody who has none of them
//! - [`digest`]: BLAKE3 addresses of contents
//! - [`snapshot`]: a node's sections at one moment
//! - [`snapshot_file`]: the snapshot as a JSON file (`evenkeel.snapshot/v1`)

pub mod author;
pub mod bundle;
pub mod delta;
pub mod digest;
pub mod encoding;
pub mod escape;
pub mod glob;
pub mod natural;
pub mod observation;
pub mod path;
pub mod section;
pub mod snapshot;
pub mod snapshot_file;

pub use author::Author;
pub use delta::Delta;
pub use digest::Digest;
pub use escape::{escape, is_unsafe};
pub use glob::Glob;
pub use observation::{Observation, Reason, Value};
pub use path::FactPath;
pub use section::{Section, SectionBuilder};
pub use snapshot::{SectionDigest, Snapshot, root_digest};
