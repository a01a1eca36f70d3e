//! Very many connections that say nothing.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How long a connection may take to be opened.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two rounds over all of them.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that are held, and opened again when they are closed, until it is dropped.
#[derive(Debug)]
pub struct Flood {
    end: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// So many to this address. The limit of this process's descriptors is raised for them.
    ///
    /// # Panics
    ///
    /// When so many descriptors cannot be had.
    pub fn new(address: SocketAddr, count: usize) -> Self {
        raise_limit();
        let (end, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = thread::spawn({
            let (end, opened) = (Arc::clone(&end), Arc::clone(&opened));
            move || hold(address, count, &end, &opened)
        });
        Self { end, opened, thread: Some(thread) }
    }

    /// How many were opened so far, again ones among them.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn hold(address: SocketAddr, count: usize, end: &AtomicBool, opened: &AtomicUsize) {
    let mut connections: Vec<TcpStream> = Vec::new();
    while !end.load(Ordering::Relaxed) {
        connections.retain_mut(is_open);
        while connections.len() < count && !end.load(Ordering::Relaxed) {
            let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else { break };
            let _ = stream.set_nonblocking(true);
            opened.fetch_add(1, Ordering::Relaxed);
            connections.push(stream);
        }
        thread::sleep(PAUSE);
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Lets this process open as many descriptors as it may.
///
/// # Panics
///
/// When there is no limit to be found or raised.
pub fn raise_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit it may be raised");
}
