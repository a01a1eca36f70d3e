//! The accept and serve loop. Ours, because it must swap certificates while running, bound handshakes and connections,
//! and know who calls before anything is called.
//!
//! # Layout
//!
//! - [`accept`]: listeners, handshakes, the Unix socket
//! - [`local`]: who came by the Unix socket
//! - [`admission`]: who calls, and whether a call may go on
//! - [`connection`], [`call`]: one of each
//! - [`open`]: the connections that are open, by peer

use std::sync::Arc;
use std::time::Duration;

use evenkeel_runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

pub mod admission;
pub mod open;

mod accept;
mod call;
mod connection;
mod local;

pub use admission::{Admission, ByCertificate};
pub use open::OpenConnections;

/// How long open requests may go on after the end was announced.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What every connection of a port is served with.
pub struct Service {
    /// The RPCs of this port.
    pub routes: axum::Router,
    /// Who is let in, and what may be called.
    pub admission: Arc<dyn Admission>,
    /// The connections of every port that are open.
    pub open: OpenConnections,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Connections at the same time.
    pub connections: Arc<Semaphore>,
    /// Ends it.
    pub shutdown: Shutdown,
}
