//! The port for health and metrics: HTTP/1.1 in the clear, under the same limits as the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
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
const MAX_HEAD: usize = 16 * 1024;

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
        let service = {
            let port = Arc::clone(&self);
            hyper::service::service_fn(move |request| {
                let (port, routes) = (Arc::clone(&port), routes.clone());
                async move { Ok::<_, Infallible>(port.plain_answer(routes, request).await) }
            })
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.transport.first_request_deadline)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = leave.notified() => return count(counted, "made_room"),
            () = sleep(self.transport.connection_age) => return count(counted, "aged"),
            () = self.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match result {
            Ok(()) => {}
            // Also the time between two requests: whoever asks nothing more is not waited for.
            Err(error) if error.is_timeout() => count(counted, "silent"),
            Err(error) => {
                debug!(%error, "Connection ended.");
                count(counted, "lost");
            }
        }
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
