//! One connection, from its first byte of HTTP/2 to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use super::Service;
use super::call::REQUEST_DEADLINE;
use crate::access::{Origin, Peer};
use crate::metrics::count;

/// A connection that asks nothing within this time is closed.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Requests on one connection at the same time: of an agent, and of a person or a tool.
const MAX_STREAMS: (u32, u32) = (8, 64);

impl Service {
    /// Serves one connection until it, its certificate, its peer's right to be here or the collector ends.
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        origin: Origin,
        end: Option<SystemTime>,
    ) {
        count(&self.metrics.connections, "accepted");
        let open = self.open.add(peer.clone());
        let max_streams = if matches!(peer, Peer::User { .. }) { MAX_STREAMS.1 } else { MAX_STREAMS.0 };
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (asked, service) = (Arc::clone(&asked), Arc::clone(&self));
            hyper::service::service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let (service, peer) = (Arc::clone(&service), peer.clone());
                async move { Ok::<_, Infallible>(service.answer(peer, origin, request).await) }
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
            () = open.closed() => return count(&self.metrics.connections, "peer_closed"),
            () = self.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = after(life) => {
                connection.as_mut().graceful_shutdown();
                timeout(REQUEST_DEADLINE, connection).await.unwrap_or(Ok(()))
            }
            () = silence(&asked) => return count(&self.metrics.connections, "silent"),
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
