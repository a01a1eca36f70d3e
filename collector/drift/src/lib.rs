//! The drift engine: a fleet and a policy in, a report out. Pure: no input or output, no clock, no async. The
//! collector and the CLI link the same engine, so the same input gives the same report, byte for byte.
//!
//! # Layout
//!
//! - [`fleet`]: what is compared: environments, nodes, their sections (shared by content)
//! - [`report`]: what comes out: `evenkeel.report/v1`

pub mod fleet;
pub mod report;

pub use fleet::{Fleet, Node};
pub use report::Report;
