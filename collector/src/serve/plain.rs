//! The port for health and metrics: HTTP/1.1 in the clear, and HTTP/2 for probes that speak gRPC, under the same limits as
//! the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use tracing::debug;

use super::port::Port;
use super::room::Place;
use crate::metrics::count;

/// The path of the handler that has answered, as it was registered: an extension of its response.
#[derive(Debug, Clone)]
pub struct Handler(pub Arc<str>);

/// Bytes of one request's head.
const MAX_HEAD: u16 = 16 * 1024;
/// Probes of one connection at the same time, and the bytes that they may send.
const MAX_STREAMS: u32 = 8;
const WINDOW: u32 = 64 * 1024;

impl Port {
    /// Serves these routes in the clear until the end, then drains.
    pub async fn plain(self: Arc<Self>, listener: TcpListener, routes: Router) {
        let accept = async || listener.accept().await.map(|(stream, from)| (stream, from.ip()));
        let serve = |stream, _, place| Arc::clone(&self).plain_connection(stream, place, routes.clone());
        self.each(accept, serve).await;
    }

    async fn plain_connection(self: Arc<Self>, stream: TcpStream, mut place: Place, routes: Router) {
        let counted = &self.metrics.connections;
        let (leave, mut first) = (place.leave(), [0]);
        tokio::select! {
            biased;
            _ = stream.peek(&mut first) => {}
            () = leave.notified() => return count(counted, "made_room"),
            () = sleep(self.transport.first_request_deadline) => return count(counted, "silent"),
        }
        place.speaks();
        let leave = place.leave();
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (port, asked) = (Arc::clone(&self), Arc::clone(&asked));
            hyper::service::service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let (port, routes) = (Arc::clone(&port), routes.clone());
                async move { Ok::<_, Infallible>(port.plain_answer(routes, request).await) }
            })
        };
        let builder = self.plain_builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = leave.notified() => return count(counted, "made_room"),
            // A byte is no request: what is spoken is not even known before some more.
            () = unasked(&asked, self.transport.first_request_deadline) => return count(counted, "silent"),
            () = sleep(self.transport.connection_age) => return count(counted, "aged"),
            () = self.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match result {
            Ok(()) => {}
            // Also the time between two requests: whoever asks nothing more is not waited for.
            Err(error) if is_timeout(&*error) => count(counted, "silent"),
            Err(error) => {
                debug!(%error, "Connection ended.");
                count(counted, "lost");
            }
        }
    }

    fn plain_builder(&self) -> auto::Builder<TokioExecutor> {
        let transport = &self.transport;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(transport.first_request_deadline)
            .max_buf_size(MAX_HEAD.into());
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD.into())
            .max_pending_accept_reset_streams(transport.max_pending_resets)
            .max_local_error_reset_streams(transport.max_resets)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(transport.keepalive)
            .keep_alive_timeout(transport.keepalive_deadline);
        builder
    }

    async fn plain_answer(&self, routes: Router, request: Request<Incoming>) -> Response<Body> {
        let (began, method) = (Instant::now(), request.method().clone());
        let response = match timeout(self.transport.request_deadline, routes.oneshot(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                let mut late = Response::new(Body::from("the request took too long\n"));
                *late.status_mut() = StatusCode::GATEWAY_TIMEOUT;
                late
            }
        };
        let handler = response.extensions().get::<Handler>().map(|Handler(path)| path);
        self.metrics.calls.requested(handler, &method, response.status().as_u16(), began.elapsed());
        response
    }
}

/// Returns after this time if nothing was asked by then; else never.
async fn unasked(asked: &AtomicBool, deadline: Duration) {
    sleep(deadline).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Whether a connection ended because nothing was asked in time.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
}
