//! The one way out of the collector: a POST to a place that the configuration names, and to no other. Redirects are not
//! followed, and link-local and metadata addresses are refused, also when a name leads there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// So long is waited at most when a receiver names a time.
const LONGEST: Duration = Duration::from_secs(300);

/// A place that takes messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    is_tls: bool,
    host: String,
    port: u16,
    /// Path and query: often the secret.
    target: String,
}

/// A message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct PostError {
    /// Where, without what may be secret.
    place: String,
    /// Why.
    why: String,
    /// When it wants to be asked again, if it said so.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Place {
    /// Reads `https://HOST[:PORT]/…`, or `http://`. The error says why not, and never what stands there.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.trim().parse().map_err(|_| "it is not a URL".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it begins with neither https:// nor http://".to_owned()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a user and password do not belong into it: use token_file".to_owned());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if let Ok(address) = host.parse::<IpAddr>() {
            allowed(address)?;
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { is_tls, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }), host, target })
    }

    /// A token must not go over the network in the clear.
    pub fn check_token(&self, has_token: bool) -> Result<(), String> {
        let is_here = self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if has_token && !self.is_tls && !is_here {
            return Err("a token is not sent in the clear: use https://".to_owned());
        }
        Ok(())
    }

    /// The same place with another path.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        if !self.target.ends_with(path) {
            self.target = format!("{}{path}", self.target.trim_end_matches('/'));
        }
        self
    }

    /// Whether it takes TLS to get there.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Where, without what may be secret.
    pub fn shown(&self) -> String {
        let Self { is_tls, host, port, target: _ } = self;
        format!("{}://{host}:{port}", if *is_tls { "https" } else { "http" })
    }

    /// Sends JSON. It was taken when the answer is a success.
    pub async fn post(
        &self,
        tls: Option<Arc<ClientConfig>>,
        headers: &[(header::HeaderName, String)],
        json: String,
    ) -> Result<(), PostError> {
        let failed = |why: String| PostError { place: self.shown(), why, retry_after: None };
        let answer = match timeout(DEADLINE, self.ask(tls, headers, json)).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => return Err(failed(format!("no answer within {} s", DEADLINE.as_secs()))),
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(LONGEST));
        let why = match status {
            _ if status.is_redirection() => {
                format!("it answers {status}, and redirects are not followed: name the last place itself")
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => format!("it answers {status}: is the URL right?"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("it answers {status}: is the token, or what the URL holds, still good?")
            }
            _ => format!("it answers {status}"),
        };
        Err(PostError { place: self.shown(), why, retry_after })
    }

    async fn ask(
        &self,
        tls: Option<Arc<ClientConfig>>,
        headers: &[(header::HeaderName, String)],
        json: String,
    ) -> Result<Response<Incoming>, String> {
        let tcp = self.connect().await?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target)
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("evenkeel/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request =
            request.body(Body::from(json)).map_err(|_| "it cannot be written as HTTP".to_owned())?;
        match tls {
            None => exchange(TokioIo::new(tcp), request).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
                let stream = TlsConnector::from(config).connect(name, tcp).await;
                exchange(TokioIo::new(stream.map_err(|error| error.to_string())?), request).await
            }
        }
    }

    /// What the name leads to is looked at before anything is sent there.
    async fn connect(&self) -> Result<TcpStream, String> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|error| format!("its name leads nowhere: {error}"))?.collect();
        let mut last = "its name leads nowhere".to_owned();
        for address in found {
            match allowed(address.ip()) {
                Ok(()) => match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error.to_string(),
                },
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

async fn exchange<S: Read + Write + Unpin + Send + 'static>(
    stream: S,
    request: Request<Body>,
) -> Result<Response<Incoming>, String> {
    let (mut client, connection) = http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let answer = client.send_request(request).await.map_err(|error| error.to_string());
    // Its body says nothing that we need.
    connection.abort();
    answer
}

/// Nobody's business: link-local addresses, where clouds keep their metadata, and addresses that are no host's.
fn allowed(address: IpAddr) -> Result<(), String> {
    const METADATA: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ];
    let address = address.to_canonical();
    let is_bad = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    if is_bad || METADATA.contains(&address) {
        return Err(format!("nothing is sent to {address}: link-local and metadata addresses are refused"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: nothing is sent to link-local and metadata addresses, however they are written.
    #[test]
    fn addresses_that_are_nobodys_business() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
        ] {
            let refused = Place::parse(url).unwrap_err();
            assert!(refused.contains("link-local and metadata addresses are refused"), "{url}: {refused}");
        }
        for url in
            ["http://127.0.0.1:9093", "https://10.0.0.1/hook", "https://hooks.example.org/services/T/B/x"]
        {
            Place::parse(url).unwrap();
        }
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let place = Place::parse("https://hooks.example.org/services/T/B/canary?key=canary").unwrap();
        assert_eq!(format!("{place:?}"), "https://hooks.example.org:443");
        assert!(Place::parse("https://user:canary@example.org/").unwrap_err().contains("token_file"));
        assert_eq!(Place::parse("http://am:9093").unwrap().at("/api/v2/alerts").target, "/api/v2/alerts");
        assert_eq!(Place::parse("http://am/x/").unwrap().at("/api/v2/alerts").target, "/x/api/v2/alerts");
    }
}
