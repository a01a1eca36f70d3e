//! The real programs as processes, on ports of their own, in directories that go when the test ends.
//!
//! # Layout
//!
//! - [`collector`], [`agent`], [`cli`]: one file a program
//! - [`machine`]: a machine for an agent to look at: a recorded host that a test changes
//! - [`hosts`], [`booted`]: real hosts: network namespaces, roots of other releases, a booted systemd
//! - [`engine`]: a container engine
//! - [`containers`], [`images`]: a Docker engine of a test's own, and the images of the programs
//! - [`minted`]: certificates that a test makes itself
//! - [`process`]: a running program and its log
//! - [`programs`]: where the programs are, built from the tree as it is
//! - [`prometheus`]: a real Prometheus and a real Alertmanager
//! - [`disk`]: a disk of a test's own that can lose its power, fill up or be slow
//! - [`journal`]: what the collector's store holds, read behind its back
//! - [`http2`], [`flood`]: peers that are not honest: frames by hand, connections that say nothing
//! - [`lossy`]: a way on which answers are lost
//! - [`receiver`]: somebody who takes alerts
//! - [`wait`]: until a condition holds, and never for a time
//! - [`skip`]: suites that cannot run here say so by name

pub mod agent;
pub mod booted;
pub mod cli;
pub mod collector;
pub mod containers;
pub mod disk;
pub mod engine;
pub mod flood;
pub mod hosts;
pub mod http2;
pub mod images;
pub mod journal;
pub mod lossy;
pub mod machine;
pub mod minted;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod receiver;
pub mod skip;
pub mod wait;

pub use agent::{Agent, Node};
pub use cli::{Cli, Outcome};
pub use collector::{Collector, Settings};
pub use containers::Containers;
pub use disk::Disk;
pub use engine::Engine;
pub use machine::Machine;
pub use minted::Minted;
pub use process::Process;
pub use receiver::Receiver;
