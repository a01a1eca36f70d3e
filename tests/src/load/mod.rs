//! The load generator: simulated nodes that speak the real protocol over real mutual TLS to a real collector process.
//!
//! # Layout
//!
//! - [`template`]: one real machine's facts, the shape of every simulated node
//! - [`content`]: sections with their addresses, each distinct one made once
//! - [`fleet`]: many nodes that share contents, what was seeded into them, and what a report must say of it
//! - [`random`]: the same numbers in every run
//! - [`target`]: the collector under load: where it listens, and its local socket
//! - [`process`]: what a process took: processor, memory, disk
//! - [`enrol`]: simulated nodes become nodes
//! - [`node`]: one node's connection: check-ins, contents, and their bytes
//! - [`drive`]: many nodes at once, over a bounded number of connections
//! - [`phase`]: how many, how long, at what cost
//! - [`journal`]: a fleet written straight into a store, for starts with many nodes
//!
//! Not for: deciding whether a collector is right (suites do) or fast enough (`make bench` does).

pub mod content;
pub mod drive;
pub mod enrol;
pub mod fleet;
pub mod journal;
pub mod node;
pub mod phase;
pub mod process;
pub mod random;
pub mod target;
pub mod template;

use std::io;
use std::path::PathBuf;

/// The load could not be made, or the collector did not take it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or a process.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The collector refused a call, or the call failed.
    #[error("{call}")]
    Call {
        /// Which one.
        call: &'static str,
        /// What it said.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The collector answered what this node did not expect.
    #[error("node {node}: the collector answered {answer} to {request}")]
    Answer {
        /// The node's name.
        node: String,
        /// What was asked.
        request: &'static str,
        /// What came.
        answer: String,
    },
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] evenkeel_runtime::tls::TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] evenkeel_store::StoreError),
    /// The collector sent what is no report.
    #[error(transparent)]
    Malformed(#[from] evenkeel_proto::Malformed),
}

impl LoadError {
    pub(crate) fn io(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn call(call: &'static str) -> impl FnOnce(tonic::Status) -> Self {
        move |status| Self::Call { call, source: Box::new(status) }
    }
}
