//! The accept loops: TLS ports and the Unix socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{DRAIN_DEADLINE, Service, local};
use crate::access::Origin;
use crate::metrics::count;

/// A TLS handshake takes a millisecond; whoever needs longer holds a connection for nothing.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Service {
    /// Serves TLS connections until the end, then drains. The configuration may be swapped while running.
    pub async fn over_tls(self: Arc<Self>, listener: TcpListener, config: Arc<ArcSwap<ServerConfig>>) {
        let tasks = TaskTracker::new();
        while let Some((permit, stream)) = self.next(&listener).await {
            let (service, config) = (Arc::clone(&self), config.load_full());
            tasks.spawn(async move {
                let _permit = permit;
                service.handshake(stream, config).await;
            });
        }
        drain(&tasks).await;
    }

    async fn handshake(self: Arc<Self>, stream: TcpStream, config: Arc<ServerConfig>) {
        let _ = stream.set_nodelay(true);
        let origin = Origin(stream.peer_addr().ok().map(|address| address.ip().to_canonical()));
        let accepted = timeout(HANDSHAKE_DEADLINE, TlsAcceptor::from(config).accept(stream)).await;
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(%error, "TLS handshake refused.");
                return count(&self.metrics.connections, "handshake_refused");
            }
            Err(_) => return count(&self.metrics.connections, "handshake_timeout"),
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        match self.admission.authenticate(chain) {
            Ok((peer, end)) => self.connection(stream, peer, origin, end).await,
            Err(why) => {
                warn!(why, "Certificate refused.");
                count(&self.metrics.connections, "certificate_refused");
            }
        }
    }

    /// Serves the Unix socket until the end, then drains. Root and the collector's own user are admins, nobody else is
    /// let in.
    pub async fn over_unix(self: Arc<Self>, listener: UnixListener) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.wait() => break,
                accepted = self.with_room(listener.accept()) => accepted,
            };
            let (permit, Ok((stream, _))) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(peer) = stream.peer_cred().ok().and_then(local::peer) else {
                count(&self.metrics.connections, "credentials_refused");
                continue;
            };
            let service = Arc::clone(&self);
            tasks.spawn(async move {
                let _permit = permit;
                service.connection(stream, peer, Origin(None), None).await;
            });
        }
        drain(&tasks).await;
    }

    /// Waits for room first.
    async fn with_room<T>(&self, accept: impl Future<Output = T>) -> (Option<OwnedSemaphorePermit>, T) {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok();
        (permit, accept.await)
    }

    /// The next connection, when there is room for it; `None` at the end.
    async fn next(&self, listener: &TcpListener) -> Option<(OwnedSemaphorePermit, TcpStream)> {
        loop {
            let permit = tokio::select! {
                () = self.shutdown.wait() => return None,
                permit = Arc::clone(&self.connections).acquire_owned() => permit.ok()?,
            };
            let accepted = tokio::select! {
                () = self.shutdown.wait() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => return Some((permit, stream)),
                Err(error) => {
                    pause_for(&error).await;
                    count(&self.metrics.connections, "accept_failed");
                }
            }
        }
    }
}

/// Out of descriptors is waited out: accepting again at once would only burn the processor.
async fn pause_for(error: &io::Error) {
    warn!(%error, "Cannot accept a connection.");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn drain(tasks: &TaskTracker) {
    tasks.close();
    if timeout(DRAIN_DEADLINE, tasks.wait()).await.is_err() {
        warn!(open = tasks.len(), "Connections did not end within the deadline.");
    }
}
