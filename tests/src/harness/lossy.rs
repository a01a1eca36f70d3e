//! A way to the collector on which answers are lost: the connection breaks when they come.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::load::random::Random;

/// So much of what the collector says first is its handshake and its session tickets: a connection on which that is lost
/// has said nothing yet.
const HANDSHAKE: usize = 3 * 1024;

/// Takes connections for a collector until it is dropped.
#[derive(Debug)]
pub struct Lossy {
    address: SocketAddr,
    lost: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Lossy {
    /// Of what this collector says behind the handshake, so many per cent are lost, each with its connection.
    ///
    /// # Panics
    ///
    /// When there is no port left.
    pub async fn new(collector: SocketAddr, percent: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is left");
        let address = listener.local_addr().expect("it has an address");
        let (lost, random) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Random::new(30))));
        let task = tokio::spawn({
            let lost = Arc::clone(&lost);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (lost, random) = (Arc::clone(&lost), Arc::clone(&random));
                    tokio::spawn(async move {
                        let is_lost = || random.lock().is_ok_and(|mut random| random.below(100) < percent);
                        relay(client, collector, is_lost, &lost).await;
                    });
                }
            }
        });
        Self { address, lost, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often something was lost.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, collector: SocketAddr, is_lost: impl Fn() -> bool, lost: &AtomicUsize) {
    let Ok(server) = TcpStream::connect(collector).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let answers = async {
        let (mut bytes, mut said) = (vec![0; 16 * 1024], 0);
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            said += count;
            if said > HANDSHAKE && is_lost() {
                lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    // Whichever ends first ends both.
    tokio::select! {
        () = answers => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}
