//! `evenkeel-collector health`: asks the collector that runs here whether it can serve and write. For an image, in which
//! there is no other program to ask with.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long it may take to be there, and to answer: `/readyz` itself gives the journal 5 s.
const DEADLINE: Duration = Duration::from_secs(8);
/// The largest answer, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// The collector is not ready, or nobody answers.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// There is no answer.
    #[error("no collector answers at http://{address}")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It answers that it is not ready, or something else than a collector does.
    #[error("the collector at http://{address} is not ready: {answer}")]
    NotReady {
        /// Where it was asked.
        address: SocketAddr,
        /// What it answered.
        answer: String,
    },
}

/// Asks the collector that listens there, and gives what it says of itself.
pub fn ask(listen: SocketAddr) -> Result<String, HealthError> {
    let address = reachable(listen);
    let answer = get(address).map_err(|source| HealthError::Silent { address, source })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" && body.contains("\"ready\":true") {
        return Ok(body.to_owned());
    }
    let said = if body.is_empty() { head.lines().next().unwrap_or_default() } else { body };
    Err(HealthError::NotReady { address, answer: said.trim().escape_debug().to_string() })
}

/// Whoever listens everywhere listens on the loopback address, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Somebody who answers one request with this.
    fn answers(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // To its end: whoever closes with something unread resets the connection.
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            assert_eq!(asked[0], "GET /readyz HTTP/1.1");
            stream.write_all(text.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn what_is_ready_says_so() {
        let body = "{\"ready\":true}\n";
        let address = answers("HTTP/1.1 200 OK\r\n\r\n{\"ready\":true}\n");
        assert_eq!(ask(address).unwrap(), body);
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 7480);
        assert_eq!(reachable(everywhere).to_string(), "127.0.0.1:7480");
        assert_eq!(reachable("[::]:7480".parse().unwrap()).to_string(), "[::1]:7480");
    }

    /// Promise: not ready is an error, whoever answers.
    #[test]
    fn what_is_not_ready_is_an_error() {
        let cases = [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"journal\":\"disk full\"}\n",
                "disk full",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nwelcome to nginx\n", "not ready: welcome to nginx"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "not ready: HTTP/1.1 404 Not Found"),
            ("", "not ready: "),
        ];
        for (text, said) in cases {
            let error = ask(answers(text)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = evenkeel_runtime::exit::chain(&ask(closed).unwrap_err());
        assert!(error.starts_with(&format!("no collector answers at http://{closed}: ")), "{error}");
    }
}
