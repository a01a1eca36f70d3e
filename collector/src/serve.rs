//! The accept and serve loop. Ours, because it must swap certificates while running, bound handshakes and connections,
//! and know who calls before anything is called.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use evenkeel_runtime::identity::{Identity, Role};
use evenkeel_runtime::shutdown::Shutdown;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::access::{self, Peer};
use crate::ca::Ca;
use crate::metrics::{Metrics, count};

/// A TLS handshake takes a millisecond; whoever needs longer holds a connection for nothing.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long open requests may go on after the end was announced.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Requests on one connection at the same time.
const MAX_STREAMS: u32 = 64;
/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection is served with.
#[derive(Clone)]
pub struct Service {
    /// The RPCs of this port.
    pub routes: axum::Router,
    /// Who may be believed.
    pub ca: Arc<Ca>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Connections at the same time, over all ports.
    pub connections: Arc<Semaphore>,
    /// Ends it.
    pub shutdown: Shutdown,
}

impl Service {
    /// Serves TLS connections until the end, then drains. The configuration may be swapped while running.
    pub async fn over_tls(self, listener: TcpListener, config: Arc<ArcSwap<ServerConfig>>) {
        let tasks = TaskTracker::new();
        while let Some((permit, stream)) = self.next(&listener).await {
            let (service, config) = (self.clone(), config.load_full());
            tasks.spawn(async move {
                let _permit = permit;
                let _ = stream.set_nodelay(true);
                let accepted = timeout(HANDSHAKE_DEADLINE, TlsAcceptor::from(config).accept(stream)).await;
                let stream = match accepted {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        debug!(%error, "TLS handshake refused.");
                        return count(&service.metrics.connections, "handshake_refused");
                    }
                    Err(_) => return count(&service.metrics.connections, "handshake_timeout"),
                };
                match service.peer(stream.get_ref().1.peer_certificates().unwrap_or_default()) {
                    Ok(peer) => service.connection(stream, peer).await,
                    Err(why) => {
                        warn!(why, "Certificate refused.");
                        count(&service.metrics.connections, "certificate_refused");
                    }
                }
            });
        }
        drain(&tasks).await;
    }

    /// Serves the Unix socket until the end, then drains. Root and the collector's own user are admins, nobody else is
    /// let in.
    pub async fn over_unix(self, listener: UnixListener) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.wait() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let own = nix::unistd::geteuid().as_raw();
            let peer = match stream.peer_cred() {
                Ok(credentials) if credentials.uid() == 0 || credentials.uid() == own => {
                    Peer::User { name: format!("uid-{}", credentials.uid()), role: Role::Admin }
                }
                _ => {
                    count(&self.metrics.connections, "credentials_refused");
                    continue;
                }
            };
            let service = self.clone();
            tasks.spawn(async move { service.connection(stream, peer).await });
        }
        drain(&tasks).await;
    }

    /// The next connection, when there is room for it; `None` at the end.
    async fn next(&self, listener: &TcpListener) -> Option<(OwnedSemaphorePermit, tokio::net::TcpStream)> {
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

    /// Who a verified chain says calls; its intermediate must be the one that speaks for that environment.
    fn peer(&self, chain: &[CertificateDer<'static>]) -> Result<Peer, String> {
        let [leaf, issuers @ ..] = chain else { return Ok(Peer::Anonymous) };
        let identity = Identity::of_certificate(leaf).map_err(|error| error.to_string())?;
        match issuers.first() {
            Some(issuer) if self.ca.is_issuer_of(&identity, issuer) => Ok(identity.into()),
            _ => Err(format!("{identity} was not issued by the intermediate that speaks for it")),
        }
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        count(&self.metrics.connections, "accepted");
        let (routes, metrics) = (self.routes, self.metrics);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (routes, peer, metrics) = (routes.clone(), peer.clone(), Arc::clone(&metrics));
            async move { Ok::<_, Infallible>(respond(routes, peer, &metrics, request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(8 * 1024)
            .max_pending_accept_reset_streams(Some(20))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(512 * 1024)
            .keep_alive_interval(Some(Duration::from_secs(60)))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            debug!(%error, "Connection ended.");
        }
    }
}

async fn respond(
    routes: axum::Router,
    peer: Peer,
    metrics: &Metrics,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Err(why) = access::check(&peer, request.uri().path()) {
        metrics.refused_calls.inc();
        let status = match peer {
            Peer::Anonymous => Status::unauthenticated(why),
            _ => Status::permission_denied(why),
        };
        return status.into_http();
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
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
