//! The facts of one machine. Knows nothing about networks, schedules or what drift is.
//!
//! # Layout
//!
//! - [`host`]: the one door to the machine, live or below a `--root`
//! - [`source`]: what a source is, and how all of them run fenced from each other
//! - [`budget`]: the time and size that one source may spend
//! - [`config`]: what a person may set
//! - [`go_buildinfo`]: what a Go program says of itself
//!
//! One file per source, one line in [`SOURCES`]:
//!
//! - [`os`]: the distribution

pub mod budget;
pub mod config;
pub mod go_buildinfo;
pub mod host;
pub mod os;
pub mod source;

pub use budget::Budget;
pub use config::SourcesConfig;
pub use host::Host;
pub use source::{Collected, Source, collect_all, collect_each};

/// Every source, in the order in which they run.
pub static SOURCES: &[&dyn Source] = &[&os::Os];
