//! A real Prometheus and a real Alertmanager, as Debian has them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Process, wait};

/// What it is called in Debian.
pub const ALERTMANAGER: &str = "prometheus-alertmanager";
/// What it is called everywhere.
pub const PROMETHEUS: &str = "prometheus";

/// One of the two, and where it listens.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
}

impl Server {
    /// An Alertmanager with this configuration, which keeps what it has in this directory.
    pub fn alertmanager(directory: &Path, config: &str) -> Self {
        let address = free_address();
        let mut command = Command::new(ALERTMANAGER);
        command.arg(format!("--config.file={}", kept(directory, "alertmanager.yml", config)));
        command.arg(format!("--storage.path={}", directory.join("alertmanager").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        Self::start("alertmanager", command, address, directory, "/api/v2/status")
    }

    /// A Prometheus with this configuration, which keeps what it has in this directory.
    pub fn prometheus(directory: &Path, config: &str) -> Self {
        let address = free_address();
        let mut command = Command::new(PROMETHEUS);
        command.arg(format!("--config.file={}", kept(directory, "prometheus.yml", config)));
        command.arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()));
        command.arg(format!("--web.listen-address={address}"));
        Self::start("prometheus", command, address, directory, "/api/v1/status/runtimeinfo")
    }

    fn start(name: &str, command: Command, address: SocketAddr, directory: &Path, ready: &str) -> Self {
        let process = Process::start(name, command, &directory.join(format!("{name}.log")));
        let server = Self { address, _process: process };
        wait::until(|| server.get(ready).map(drop));
        server
    }

    /// The JSON at this path.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: server\r\n\r\n").map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let (_, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        serde_json::from_str(body).map_err(|error| format!("{error}: {text}"))
    }

    /// The alerts that an Alertmanager holds as active.
    pub fn active(&self) -> Result<Vec<Value>, String> {
        self.get("/api/v2/alerts?active=true").map(|alerts| alerts.as_array().cloned().unwrap_or_default())
    }
}

/// These servers say nowhere which port they were given, so one that is free is chosen for them.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound socket has an address")
}

fn kept(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    fs::write(&file, text).expect("the directory is ours");
    file.display().to_string()
}
