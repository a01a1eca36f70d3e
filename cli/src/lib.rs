//! The program `evenkeel`: asks the collector where environments differ, or compares snapshot files without one.
//!
//! # Layout
//!
//! - [`args`]: the command line; [`operand`]: what can be held against what; [`moment`]: times as people write them
//! - [`command`]: one file per command
//! - [`client`]: the way to the collector; [`place`]: where it is; [`contexts`]: collectors by name
//! - [`snapshots`]: snapshot files, compared by the engine itself; [`advisories`]: reports in the OSV format
//! - [`remedies`]: from a finding to what mends it; [`quoting`]: values in languages that obey some characters
//! - [`scan`]: one host, looked at over ssh
//! - [`console`]: where output goes
//! - [`error`]: what went wrong, and what to do about it
//!
//! Not for: deciding what drift is (`evenkeel-drift`) or how it looks (`evenkeel-render`).

pub mod advisories;
pub mod args;
pub mod client;
pub mod command;
pub mod console;
pub mod contexts;
pub mod error;
pub mod moment;
pub mod operand;
pub mod place;
pub mod quoting;
pub mod remedies;
pub mod scan;
pub mod snapshots;

pub use args::Args;
pub use command::run;
pub use error::CliError;
