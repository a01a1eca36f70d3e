//! The accept and serve loop. Ours, because it must swap certificates while running, bound everything that a peer can hold
//! or ask, and know who calls before anything is called.
//!
//! # Layout
//!
//! - [`port`]: one port: accepting, whatever is left of descriptors, and draining
//! - [`descriptors`]: how many there are, and who gets how many
//! - [`room`]: the places of a port, and who makes room
//! - [`accept`]: handshakes, the Unix socket; [`local`]: who came by it
//! - [`admission`]: who calls, and whether a call may go on
//! - [`connection`], [`progress`]: one connection, and what it has asked so far
//! - [`call`], [`handled`], [`overload`]: one call; what became of it; and more of them than can be done
//! - [`open`]: the connections that are open, by peer
//! - [`plain`]: the port for health and metrics

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ConnectionMode;
use crate::rate::Rates;

pub mod admission;
pub mod descriptors;
pub mod open;
pub mod overload;
pub mod port;
pub mod room;

mod accept;
mod call;
mod connection;
mod handled;
mod local;
mod plain;
mod progress;

pub use admission::{Admission, ByCertificate};
pub use call::Wish;
pub use local::Locals;
pub use open::OpenConnections;
pub use overload::Requests;
pub use plain::Handler;
pub use port::Port;

/// What every connection of a gRPC port is served with.
pub struct Service {
    /// The port.
    pub port: Port,
    /// Its RPCs.
    pub routes: axum::Router,
    /// Who is let in, and what may be called.
    pub admission: Arc<dyn Admission>,
    /// The connections of every port that are open.
    pub open: OpenConnections,
    /// What nodes and strangers ask.
    pub requests: Requests,
    /// What people and tools ask: a flood of the others does not keep them from seeing it.
    pub requests_of_users: Requests,
    /// How often strangers may ask, by where they come from.
    pub strangers: Rates<IpAddr>,
    /// How often a refusal is logged: a flood of them must not fill the disk.
    pub told: Rates<()>,
}

impl Service {
    /// One with these RPCs on this port.
    pub fn new(
        port: Port,
        routes: axum::Router,
        admission: Arc<dyn Admission>,
        open: OpenConnections,
    ) -> Self {
        let transport = &port.transport;
        let requests = || Requests::new(transport.max_requests, transport.max_waiting_requests);
        Self {
            requests: requests(),
            requests_of_users: requests(),
            strangers: Rates::new(transport.enroll_every, transport.enroll_burst),
            told: Rates::new(Duration::from_millis(100), 100),
            port,
            routes,
            admission,
            open,
        }
    }

    /// Whether agents are to hang up between check-ins.
    fn wants_hang_up(&self) -> bool {
        match self.port.transport.connection_mode {
            ConnectionMode::Keep => false,
            ConnectionMode::HangUp => true,
            ConnectionMode::Auto => self.port.room.is_crowded(),
        }
    }
}
