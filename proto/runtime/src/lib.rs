//! What every process shares. Knows no facts.
//!
//! # Layout
//!
//! - [`identity`]: who a certificate says its holder is
//! - [`keys`]: key pairs, signing requests, PEM files
//! - [`tls`]: client and server configurations; TLS 1.3 and ring only
//! - [`trust`]: which roots and issuer a node holds, in eight bytes
//! - [`tickets`]: session tickets, and forgetting them
//! - [`pin`]: trusting a root by the hash of its public key, before anything else is known
//! - [`channel`]: gRPC channels over those configurations, or over a Unix socket
//! - [`line`]: whether a channel's connection is open, and when it was lost
//! - [`files`]: writing so that it survives a power cut
//! - [`config`]: reading a TOML file, with errors that say where and what was meant
//! - [`duration`]: `15m`, `24h`, `30d`
//! - [`label`]: host names, roles and environments
//! - [`logging`]: JSON lines
//! - [`trace`]: which trace a piece of work belongs to
//! - [`backoff`]: how long to wait before trying again
//! - [`shutdown`]: the end, announced
//! - [`service`]: what the service manager is told: ready, alive, ending
//! - [`heaps`]: how many there are
//! - [`seeded`]: mistakes on purpose, for tests alone
//! - [`exit`]: exit codes, and how an error reaches a person

pub mod backoff;
pub mod channel;
pub mod config;
pub mod duration;
pub mod exit;
pub mod files;
pub mod heaps;
pub mod identity;
pub mod keys;
pub mod label;
pub mod line;
pub mod logging;
pub mod pin;
pub mod seeded;
pub mod service;
pub mod shutdown;
pub mod tickets;
pub mod tls;
pub mod trace;
pub mod trust;
