//! Connections as they come: by TLS, and by the Unix socket.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::admission::Authenticated;
use super::room::Place;
use super::{Locals, Service};
use crate::access::Origin;
use crate::metrics::count;

impl Service {
    /// Serves TLS connections until the end, then drains. The configuration may be swapped while running.
    pub async fn over_tls(self: Arc<Self>, listener: TcpListener, config: Arc<ArcSwap<ServerConfig>>) {
        let accept = async || listener.accept().await.map(|(stream, from)| (stream, from.ip()));
        let serve = |stream, from, place| Arc::clone(&self).arrive(stream, from, place, config.load_full());
        self.port.each(accept, serve).await;
    }

    async fn arrive(
        self: Arc<Self>,
        stream: TcpStream,
        from: IpAddr,
        mut place: Place,
        config: Arc<ServerConfig>,
    ) {
        let _ = stream.set_nodelay(true);
        let stream = match self.handshake(stream, &mut place, config).await {
            Ok(stream) => stream,
            Err(outcome) => return count(&self.port.metrics.connections, outcome),
        };
        let origin = Origin(Some(from.to_canonical()));
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        match self.admission.authenticate(chain) {
            Ok(Authenticated { peer, end, newcomer }) => {
                if let Some(newcomer) = newcomer
                    && let Err(why) = self.admission.welcome(newcomer).await
                {
                    warn!(why, "Newcomer not enrolled.");
                }
                // In a box: what only a handshake needs is not kept with the connection.
                Box::pin(self.connection(stream, origin, place, peer, end)).await;
            }
            Err(why) => {
                warn!(why, "Certificate refused.");
                count(&self.port.metrics.connections, "certificate_refused");
            }
        }
    }

    /// The error is what became of it.
    async fn handshake(
        &self,
        stream: TcpStream,
        place: &mut Place,
        config: Arc<ServerConfig>,
    ) -> Result<TlsStream<TcpStream>, &'static str> {
        let deadline = Instant::now() + self.port.transport.handshake_deadline;
        let (leave, mut first) = (place.leave(), [0]);
        // What has come is looked at first: whoever speaks need not make room for others. That the socket calls itself
        // readable would not do: it does so before anybody has looked.
        tokio::select! {
            biased;
            _ = stream.peek(&mut first) => {}
            () = leave.notified() => return Err("made_room"),
            () = sleep_until(deadline) => return Err("handshake_timeout"),
        }
        place.speaks();
        let leave = place.leave();
        tokio::select! {
            biased;
            accepted = TlsAcceptor::from(config).accept(stream) => accepted.map_err(|error| {
                debug!(%error, "TLS handshake refused.");
                "handshake_refused"
            }),
            () = leave.notified() => Err("made_room"),
            () = sleep_until(deadline) => Err("handshake_timeout"),
        }
    }

    /// Serves the Unix socket until the end, then drains. Who comes is who the kernel says.
    pub async fn over_unix(self: Arc<Self>, listener: UnixListener, locals: Locals) {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let accept = async || listener.accept().await.map(|(stream, _)| (stream, here));
        self.port
            .each(accept, |stream, _, place| Arc::clone(&self).arrive_locally(stream, place, locals))
            .await;
    }

    async fn arrive_locally(self: Arc<Self>, stream: UnixStream, place: Place, locals: Locals) {
        match stream.peer_cred().ok().and_then(|credentials| locals.peer(credentials)) {
            Some(peer) => self.connection(stream, Origin(None), place, peer, None).await,
            None => count(&self.port.metrics.connections, "credentials_refused"),
        }
    }
}
