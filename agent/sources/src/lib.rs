//! The facts of one machine. Knows nothing about networks, schedules or what drift is.
//!
//! # Layout
//!
//! - [`host`]: the one door to the machine, live or below a `--root`
//! - [`source`]: what a source is, and how all of them run fenced from each other
//! - [`budget`]: the time and size that one source may spend
//! - [`patience`]: a source that hangs in the kernel stops no other
//! - [`config`]: what a person may set
//! - [`recording`]: a machine as a small, redacted directory that can be replayed
//! - [`go_buildinfo`]: what a Go program says of itself
//!
//! One file per source, one line in [`SOURCES`]:
//!
//! - [`os`]: the distribution
//! - [`kernel`]: which kernel runs and how it was started
//! - [`libc`]: the C library
//! - [`sysctl`]: every key under /proc/sys, by a table of exceptions, and what sysctl.d will set
//! - [`packages`]: what the package manager has installed
//! - [`time`]: time zone and time zone database
//! - [`hardware`]: processors and memory
//! - [`go_toolchain`]: Go toolchains, which of them `go` is, and how it is set up
//! - [`go_programs`]: Go programs on disk and running, and what they were built from
//! - [`processes`]: processes that run what is no longer on the disk
//! - [`container_runtime`]: the programs that run containers, and their settings
//! - [`limits`]: what a program may have, by the way in which it is started
//! - [`files`]: digests of configured files
//! - [`custom`]: facts of one's own
//! - [`identity`]: what must be unique to each machine

mod breaker;
pub mod budget;
pub mod config;
pub mod container_runtime;
mod credentials;
pub mod custom;
mod declared;
mod directories;
mod drop_ins;
mod elf;
pub mod files;
pub mod go_buildinfo;
pub mod go_programs;
pub mod go_toolchain;
pub mod hardware;
pub mod host;
pub mod identity;
pub mod kernel;
pub mod libc;
pub mod limits;
pub mod os;
pub mod packages;
pub mod patience;
pub mod processes;
pub mod recording;
pub mod source;
pub mod sysctl;
pub mod time;

pub use budget::Budget;
pub use config::SourcesConfig;
pub use declared::Declared;
pub use host::Host;
pub use source::{Collected, Source, collect_all, collect_each, collect_patiently, collect_some};

/// Every source, in the order in which they run.
pub static SOURCES: &[&dyn Source] = &[
    &os::Os,
    &kernel::Kernel,
    &libc::Libc,
    &sysctl::Sysctl,
    &packages::Packages,
    &time::Time,
    &hardware::Hardware,
    &go_toolchain::GoToolchain,
    &go_programs::GoPrograms,
    &processes::Processes,
    &container_runtime::ContainerRuntime,
    &limits::Limits,
    &files::Files,
    &custom::Custom,
    &identity::Identity,
];
