//! One connection, from its first byte of HTTP/2 to its end.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_runtime::backoff::fraction;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::Service;
use super::call::Caller;
use super::progress::Progress;
use super::room::Place;
use crate::access::{Origin, Peer};
use crate::config::Transport;
use crate::metrics::count;

/// How long a connection of somebody lasts who enrols, or renews what has ended.
const STRANGER: Duration = Duration::from_secs(30);
/// How long one that finds no place may take to hear its answer.
const NO_PLACE: Duration = Duration::from_secs(2);
/// Far enough away.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Service {
    /// Serves one connection until it, its age, its certificate, its peer's right to be here or the collector ends.
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        origin: Origin,
        mut place: Place,
        peer: Peer,
        end: Option<SystemTime>,
    ) {
        let (transport, metrics) = (&self.port.transport, &self.port.metrics);
        count(&metrics.connections, "accepted");
        let open = self.open.add(peer.clone(), transport.max_connections_of_node);
        let progress = Arc::new(Progress::default());
        // Nobody knows them, or they may do one thing: they do not stay.
        let is_stranger = matches!(peer, Peer::Anonymous | Peer::Lapsed { .. });
        let end = if is_stranger { Some(SystemTime::now() + STRANGER) } else { end };
        let builder = builder(transport, &peer);
        let caller = Arc::new(Caller { peer, origin, end, progress: Arc::clone(&progress) });
        let service = {
            let service = Arc::clone(&self);
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let (service, caller) = (Arc::clone(&service), Arc::clone(&caller));
                async move { Ok::<_, Infallible>(service.answer(&caller, request).await) }
            })
        };
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (mut leave, no_place) = (place.leave(), Notify::new());
        let began = Instant::now();
        let mut end = std::pin::pin!(async {
            tokio::select! {
                () = sleep_until(began + life(transport, end)) => "aged",
                () = no_place.notified() => "no_place",
                () = self.port.shutdown.wait() => "shut_down",
            }
        });
        let (mut has_asked, mut has_settled, mut cut_off) = (false, false, None);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        debug!(%error, "Connection ended.");
                        count(&metrics.connections, ended_by(&error));
                    }
                    return;
                }
                () = open.closed() => return count(&metrics.connections, "peer_closed"),
                () = progress.abandoned() => return count(&metrics.connections, "too_many_resets"),
                () = progress.asked(), if !has_asked => {
                    has_asked = true;
                    if is_stranger {
                        place.serve();
                    } else if place.settle() {
                        has_settled = true;
                    } else {
                        no_place.notify_one();
                    }
                    leave = place.leave();
                }
                () = leave.notified(), if !has_settled => return count(&metrics.connections, "made_room"),
                () = sleep_until(began + transport.first_request_deadline), if !has_asked => {
                    return count(&metrics.connections, "silent");
                }
                why = end.as_mut(), if cut_off.is_none() => {
                    count(&metrics.connections, why);
                    connection.as_mut().graceful_shutdown();
                    // Who has no place gets its answer, and not a minute.
                    let patience = if why == "no_place" { NO_PLACE } else { transport.close_deadline };
                    cut_off = Some(Instant::now() + patience);
                }
                () = sleep_until(cut_off.unwrap_or(began)), if cut_off.is_some() => {
                    return count(&metrics.connections, "cut_off");
                }
            }
        }
    }
}

/// How this collector speaks HTTP/2 with such a peer.
fn builder(transport: &Transport, peer: &Peer) -> http2::Builder<TokioExecutor> {
    let streams = match peer {
        Peer::User { .. } => transport.max_streams_of_users,
        Peer::Node { .. } | Peer::Lapsed { .. } | Peer::Anonymous => transport.max_streams,
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(transport.max_header_bytes)
        .max_pending_accept_reset_streams(transport.max_pending_resets)
        .max_local_error_reset_streams(transport.max_resets)
        .initial_stream_window_size(transport.stream_window)
        .initial_connection_window_size(transport.connection_window)
        .max_send_buf_size(transport.max_send_buffer)
        .keep_alive_interval(transport.keepalive)
        .keep_alive_timeout(transport.keepalive_deadline);
    builder
}

/// How long it may live: about the age that is configured, and never longer than its certificate.
fn life(transport: &Transport, end: Option<SystemTime>) -> Duration {
    let spread = f64::from(transport.connection_age_spread) / 100.0;
    let age = transport.connection_age.mul_f64(1.0 - spread + 2.0 * spread * fraction());
    let certificate = end.map_or(NEVER, |end| end.duration_since(SystemTime::now()).unwrap_or_default());
    age.min(certificate).min(NEVER)
}

/// Why a connection failed: what its other side did, or what the collector would not bear.
fn ended_by(error: &hyper::Error) -> &'static str {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return "lost";
    };
    match error.reason() {
        // Ours: too many requests taken back, too many headers, frames of no use.
        Some(h2::Reason::ENHANCE_YOUR_CALM) => "abusive",
        Some(_) if error.is_library() => "protocol_error",
        _ => "lost",
    }
}
