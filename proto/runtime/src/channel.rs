//! gRPC channels: over our TLS configurations, or over a Unix socket on the collector's own host.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tower::service_fn;

use crate::backoff::fraction;
use crate::line::Line;
use crate::tls::COLLECTOR_NAME;

/// How long a connection (DNS, TCP, TLS) may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How often the other side of an open call is asked whether it is still there, at least.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The metadata of an answer that asks for patience (gRPC proposal A6): milliseconds.
pub const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// Nobody waits longer because it was asked to: a mistake must not silence a fleet.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(60 * 60);

/// Where a collector listens: `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// The name that its certificate must have.
    certified: String,
}

impl Address {
    /// Reads `https://HOST:PORT` (or `HOST:PORT`); without a port, `default_port`.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not a collector's address: write https://HOST:{default_port}");
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| refuse())?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refuse)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::new(&host, uri.port_u16().unwrap_or(default_port)))
    }

    /// This host (no brackets) and port.
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, certified: COLLECTOR_NAME.to_owned() }
    }

    /// The same, of a collector whose certificate is not its own authority's and says this name instead.
    #[must_use]
    pub fn certified_as(self, name: &str) -> Self {
        Self { certified: name.to_owned(), ..self }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, certified: _ } = self;
        if host.contains(':') {
            write!(f, "https://[{host}]:{port}")
        } else {
            write!(f, "https://{host}:{port}")
        }
    }
}

/// A channel that connects when it is first used and again whenever it must. A configuration that is swapped in serves
/// from the next connection on.
pub fn over_tls(address: &Address, config: Arc<ArcSwap<ClientConfig>>) -> Channel {
    on_line(address, config, &Line::default())
}

/// The same, and this line tells whether its connection is open.
pub fn on_line(address: &Address, config: Arc<ArcSwap<ClientConfig>>, line: &Line) -> Channel {
    let (Address { host, port, certified }, line) = (address.clone(), line.clone());
    endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (host, config, line) = (host.clone(), config.load_full(), line.clone());
        let name = ServerName::try_from(certified.clone()).map_err(io::Error::other);
        async move {
            let tcp = TcpStream::connect((host.as_str(), port)).await?;
            tcp.set_nodelay(true)?;
            let tls = TlsConnector::from(config).connect(name?, tcp).await?;
            Ok::<_, io::Error>(TokioIo::new(line.open(tls)))
        }
    }))
}

/// A channel to a Unix socket.
pub fn over_unix(socket: PathBuf) -> Channel {
    endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    }))
}

/// How long the collector asks to wait before this call is tried again; `None` when it does not say. As gRPC has it,
/// a time that is not one means that trying again is of no use: that is the longest time.
pub fn pushback(status: &Status) -> Option<Duration> {
    let asked = status.metadata().get(PUSHBACK)?;
    let milliseconds = asked.to_str().ok().and_then(|text| text.parse().ok());
    Some(milliseconds.map_or(LONGEST_PUSHBACK, Duration::from_millis).min(LONGEST_PUSHBACK))
}

/// Why a call did not get through to the collector, in words for a person; `None` when the collector itself answered.
/// With TLS 1.3 a collector that refuses our certificate shows it only now, by closing the connection.
pub fn obstacle(status: &Status) -> Option<String> {
    let mut cause: &(dyn Error + 'static) = status.source()?;
    loop {
        // An I/O error does not count what it wraps among its sources.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source()) {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    if let Some(rustls::Error::InvalidCertificate(
        // A bad signature: an authority of the same name with another key, as every collector has one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature,
    )) = cause.downcast_ref()
    {
        return Some("who answers there is another collector than the one that is trusted here".to_owned());
    }
    // With TLS 1.3 a client hears of its refused certificate after the handshake, if it hears of it at all; by then
    // HTTP/2 knows the error only as a text.
    let said = cause.to_string();
    Some(match said.split_once("received fatal alert: ") {
        Some((_, alert)) => format!("it refuses the certificate that was shown ({alert})"),
        None if status.code() == Code::Cancelled || is_closed(cause) => {
            "the connection was closed before an answer came".to_owned()
        }
        None => said,
    })
}

/// Whether the connection ended before the message was on its way. Of this HTTP/2 tells no more than a text.
pub fn is_cut_off(status: &Status) -> bool {
    status.code() == Code::Cancelled
        && status.source().is_some()
        && status.message() == "operation was canceled"
}

/// Whether the other side went away while it was written to.
fn is_closed(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    kind.is_some_and(|kind| matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
        || cause.to_string().contains("broken pipe")
}

/// The URI is only for HTTP/2's authority: the connectors know where to go.
fn endpoint() -> Endpoint {
    Endpoint::from_static("https://evenkeel-collector")
        .connect_timeout(CONNECT_DEADLINE)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(512 * 1024)
        // Each process at its own pace: a fleet does not ask all at once.
        .http2_keep_alive_interval(KEEP_ALIVE.mul_f64(1.0 + 0.5 * fraction()))
        .keep_alive_timeout(Duration::from_secs(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushback_is_read_and_bounded() {
        let asked = |value: Option<&'static str>| {
            let mut status = Status::resource_exhausted("busy");
            value.map(|value| status.metadata_mut().insert(PUSHBACK, value.parse().unwrap()));
            pushback(&status)
        };
        assert_eq!(asked(None), None);
        assert_eq!(asked(Some("1500")), Some(Duration::from_millis(1500)));
        for value in ["-1", "soon", "99999999999"] {
            assert_eq!(asked(Some(value)), Some(LONGEST_PUSHBACK), "{value}");
        }
    }

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("https://collector.example:7443", "https://collector.example:7443"),
            ("https://collector.example", "https://collector.example:7443"),
            ("10.0.0.1:9", "https://10.0.0.1:9"),
            ("https://[::1]:7443/", "https://[::1]:7443"),
        ] {
            assert_eq!(Address::parse(text, 7443).unwrap().to_string(), shown);
        }
        for text in ["", "http://a:1", "https://", "https://a:1/path", "a b"] {
            assert!(Address::parse(text, 7443).is_err(), "{text}");
        }
    }
}
