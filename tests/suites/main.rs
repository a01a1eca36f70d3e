//! The end-to-end suites: the real programs, as processes. Each test says which promise it proves.
//!
//! # Layout
//!
//! - `main_job`: agents report, the collector compares, the command line shows it
//! - `change_and_back`: a change shows, with its time, and is gone when it is undone
//! - `durability`: nothing that was acknowledged is lost
//! - `silence`: what is not heard or may not be read is named, and is no drift
//! - `load`: a thousand nodes
//! - `structure`: the tree is what its documents say

mod change_and_back;
mod durability;
mod load;
mod main_job;
mod silence;
mod structure;
