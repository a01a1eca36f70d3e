//! The accept and serve loop. Ours, because it must swap certificates while running, bound handshakes and connections,
//! and know who calls before anything is called.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use axum::body::Body;
use evenkeel_runtime::identity::{Identity, Role};
use evenkeel_runtime::keys;
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
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that asks nothing within this time is closed.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Requests on one connection at the same time: of an agent, and of a person or a tool.
const MAX_STREAMS: (u32, u32) = (8, 64);
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
    /// Connections at the same time.
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
                    Ok((peer, end)) => service.connection(stream, peer, end).await,
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
                accepted = self.with_room(listener.accept()) => accepted,
            };
            let (permit, Ok((stream, _))) = accepted else {
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
            tasks.spawn(async move {
                let _permit = permit;
                service.connection(stream, peer, None).await;
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

    /// Who a verified chain says calls, and until when. Behind the leaf stands exactly one certificate, so it is the
    /// one that the leaf was verified with; it must be the intermediate that speaks for that environment.
    fn peer(&self, chain: &[CertificateDer<'static>]) -> Result<(Peer, Option<SystemTime>), String> {
        let (leaf, issuer) = match chain {
            [] => return Ok((Peer::Anonymous, None)),
            [leaf, issuer] => (leaf, issuer),
            other => {
                return Err(format!(
                    "{} certificates were shown, a leaf and its issuer were expected",
                    other.len()
                ));
            }
        };
        let identity = Identity::of_certificate(leaf).map_err(|error| error.to_string())?;
        let (_, end) = keys::validity(leaf).ok_or("the certificate has no end")?;
        if !self.ca.is_issuer_of(&identity, issuer) {
            return Err(format!("{identity} was not issued by the intermediate that speaks for it"));
        }
        // A resumed session was verified when it began, not now.
        if end <= SystemTime::now() {
            return Err(format!("the certificate of {identity} has ended"));
        }
        Ok((identity.into(), Some(end)))
    }

    /// Serves one connection until it, its certificate or the collector ends.
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        end: Option<SystemTime>,
    ) {
        count(&self.metrics.connections, "accepted");
        let Self { routes, metrics, shutdown, .. } = self;
        let max_streams = if matches!(peer, Peer::User { .. }) { MAX_STREAMS.1 } else { MAX_STREAMS.0 };
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (asked, metrics) = (Arc::clone(&asked), Arc::clone(&metrics));
            hyper::service::service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let (routes, peer, metrics) = (routes.clone(), peer.clone(), Arc::clone(&metrics));
                async move { Ok::<_, Infallible>(respond(routes, peer, &metrics, request).await) }
            })
        };
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(max_streams)
            .max_header_list_size(8 * 1024)
            .max_pending_accept_reset_streams(Some(20))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(512 * 1024)
            .keep_alive_interval(Some(Duration::from_secs(60)))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let life = end.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = after(life) => {
                connection.as_mut().graceful_shutdown();
                timeout(REQUEST_DEADLINE, connection).await.unwrap_or(Ok(()))
            }
            () = silence(&asked) => return count(&metrics.connections, "silent"),
        };
        if let Err(error) = result {
            debug!(%error, "Connection ended.");
        }
    }
}

/// After this time; never, if there is none.
async fn after(life: Option<Duration>) {
    match life {
        Some(life) => tokio::time::sleep(life).await,
        None => std::future::pending().await,
    }
}

/// Returns if nothing was asked within the deadline for the first request.
async fn silence(asked: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST_DEADLINE).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
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
    match timeout(REQUEST_DEADLINE, routes.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => Status::deadline_exceeded("the request took more than 30 s").into_http(),
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
