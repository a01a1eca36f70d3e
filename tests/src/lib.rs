//! What the end-to-end suites and the benchmarks share.
//!
//! # Layout
//!
//! - [`harness`]: the real programs as processes, and machines for agents to look at
//! - [`load`]: simulated nodes, many of them
//!
//! The suites are in `suites/`, one module each, in one test program. Tools that make real hosts are in `hosts/`.

pub mod harness;
pub mod load;
