//! Somebody who takes alerts: an HTTP server that keeps what it is sent and answers as a test wants.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// It listens until the test ends.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Vec<Taken>,
    answers: VecDeque<String>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Path and query.
    pub target: String,
    /// Header lines, names in lower case.
    pub headers: Vec<String>,
    /// What came.
    pub body: Value,
    /// How it was answered: status and further header lines.
    pub answer: String,
}

impl Receiver {
    /// Listens on a free port; with TLS if a configuration is given.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (shared, tls) = (Arc::clone(&own), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &shared),
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("a configuration of ours");
                        serve(StreamOwned::new(connection, stream), &shared);
                    }
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next requests are answered like this, one each: a status and further header lines. Later ones are taken.
    pub fn answer(&self, answers: &[&str]) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.answers.extend(answers.iter().map(|answer| (*answer).to_owned()));
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Taken> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).taken.clone()
    }

    /// What was said so far in messages that were taken: change and path of each alert of a webhook, in order.
    pub fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let taken = self.requests().into_iter().filter(|taken| taken.answer.starts_with("200"));
        let alerts = taken.flat_map(|taken| taken.body["alerts"].as_array().cloned().unwrap_or_default());
        alerts.map(|alert| (text(&alert["change"]), text(&alert["path"]))).collect()
    }
}

fn serve(stream: impl Read + Write, shared: &Mutex<Shared>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).is_err() {
        return;
    }
    let Some(target) = line.split(' ').nth(1).map(str::to_owned) else { return };
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.trim().parse().unwrap_or(0);
        }
        headers.push(format!("{name}: {}", value.trim()));
    }
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answer = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = shared.answers.pop_front().unwrap_or_else(|| "200 OK".to_owned());
        shared.taken.push(Taken { target, headers, body, answer: answer.clone() });
        answer
    };
    let _ = write!(stream.get_mut(), "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.get_mut().flush();
}
