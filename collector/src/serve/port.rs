//! One port: its listener's connections, each with a place, whatever is left of descriptors.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_runtime::shutdown::Shutdown;
use nix::errno::Errno;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::descriptors::Spare;
use super::room::{Place, Room, Rooms};
use crate::config::Transport;
use crate::metrics::{Metrics, count};

/// How long open requests may go on after the end was announced.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections of one port have in common, whatever they speak.
pub struct Port {
    /// The places.
    pub room: Arc<Room>,
    /// How much a peer may ask.
    pub transport: Arc<Transport>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Ends it.
    pub shutdown: Shutdown,
    rooms: Rooms,
    spare: Spare,
}

impl Port {
    /// With so many connections at the same time; `rooms` are those of all ports. The name is for the metrics.
    pub fn new(
        name: &'static str,
        connections: usize,
        rooms: &Rooms,
        transport: &Arc<Transport>,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Self {
        let open = metrics.port(name, connections);
        let room = Arc::new(Room::new(connections, transport.max_handshakes, open));
        rooms.add(Arc::clone(&room));
        Self {
            room,
            rooms: rooms.clone(),
            transport: Arc::clone(transport),
            metrics: Arc::clone(metrics),
            shutdown: shutdown.clone(),
            spare: Spare::default(),
        }
    }

    /// Hands every connection and its place to `serve`, until the end; then waits for those that are open.
    pub(super) async fn each<S, F>(
        &self,
        accept: impl AsyncFn() -> io::Result<(S, IpAddr)>,
        mut serve: impl FnMut(S, IpAddr, Place) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = TaskTracker::new();
        let next = async || -> (S, IpAddr, Place) {
            let (stream, from) = self.accept(&accept).await;
            let place = self.room.enter(from).await;
            (stream, from, place)
        };
        loop {
            tokio::select! {
                () = self.shutdown.wait() => break,
                (stream, from, place) = next() => drop(tasks.spawn(serve(stream, from, place))),
            }
        }
        tasks.close();
        if timeout(DRAIN_DEADLINE, tasks.wait()).await.is_err() {
            warn!(open = tasks.len(), "Connections did not end within the deadline.");
        }
    }

    async fn accept<S>(&self, accept: &impl AsyncFn() -> io::Result<(S, IpAddr)>) -> (S, IpAddr) {
        loop {
            match accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_exhausted(&error) => {
                    count(&self.metrics.connections, "no_descriptor");
                    // Trying again at once would only burn the processor: somebody must go first.
                    if !self.rooms.make_room().await {
                        warn!(%error, "Cannot accept a connection.");
                        self.spare.give_up();
                        let refused = timeout(Duration::ZERO, accept()).await;
                        drop(refused);
                        self.spare.take_back();
                        sleep(PAUSE).await;
                    }
                }
                // This one went away before it was accepted; the next is another one.
                Err(_) => count(&self.metrics.connections, "accept_failed"),
            }
        }
    }
}

/// Whether the system, not the connection, is why it cannot be accepted.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}
