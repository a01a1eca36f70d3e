//! The wire: generated code, and the one conversion between wire and words.
//!
//! # Layout
//!
//! - [`enroll`], [`fleet`], [`report`], [`admin`]: generated from `proto/evenkeel/*/v1/*.proto`, checked in
//! - [`DESCRIPTORS`]: the descriptor set, for server reflection
//! - [`affected`]: advisories as they travel
//! - [`authors`]: who changed something, as it travels
//! - [`codec`]: protobuf with small buffers
//! - [`commits`]: what a commit names, against what the collector holds already
//! - [`contents`]: sections as they travel
//! - [`reports`]: reports as they travel
//! - `redacted`: messages that carry a secret do not show it
//! - [`times`]: moments as they travel

pub mod affected;
pub mod authors;
pub mod codec;
pub mod commits;
pub mod contents;
mod redacted;
pub mod reports;
pub mod times;

/// Every service and message, as a compiled `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

macro_rules! generated {
    ($($(#[$doc:meta])* $name:ident = $file:literal)*) => {$(
        $(#[$doc])*
        #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic)]
        pub mod $name {
            include!(concat!("generated/", $file, ".rs"));
        }
    )*};
}

generated! {
    /// `evenkeel.enroll.v1`: how a machine becomes a node.
    enroll = "evenkeel.enroll.v1"
    /// `evenkeel.fleet.v1`: how a node reports.
    fleet = "evenkeel.fleet.v1"
    /// `evenkeel.report.v1`: what people and tools ask.
    report = "evenkeel.report.v1"
    /// `evenkeel.admin.v1`: what operators do.
    admin = "evenkeel.admin.v1"
}

/// A message that does not mean what its type promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed: {field}: {why}")]
pub struct Malformed {
    /// The field, as in the `.proto` file.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Malformed {
    /// A field that is wrong for this reason.
    pub fn new(field: &'static str, why: impl std::fmt::Display) -> Self {
        Self { field, why: why.to_string() }
    }
}
