//! The connections that are open, by peer, so that they can be closed when a peer is no longer let in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::access::Peer;

/// The open connections of one collector. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, (Peer, CancellationToken)>,
}

/// One of them, for as long as it is held.
#[derive(Debug)]
pub struct OpenConnection {
    all: OpenConnections,
    number: u64,
    closed: CancellationToken,
}

impl OpenConnections {
    /// A connection of this peer is open from now on.
    pub fn add(&self, peer: Peer) -> OpenConnection {
        let closed = CancellationToken::new();
        let mut connections = self.lock();
        let number = connections.next;
        connections.next += 1;
        connections.open.insert(number, (peer, closed.clone()));
        OpenConnection { all: self.clone(), number, closed }
    }

    /// Closes those of the peers that this says yes to, at once, whatever they are doing. Returns how many.
    pub fn close(&self, is_meant: impl Fn(&Peer) -> bool) -> usize {
        let connections = self.lock();
        let meant = connections.open.values().filter(|(peer, _)| is_meant(peer));
        meant.map(|(_, closed)| closed.cancel()).count()
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnection {
    /// Returns when it is to be closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn node(number: u128) -> Peer {
        Peer::Node { environment: "dev".into(), id: Uuid::from_u128(number) }
    }

    /// Promise: every open connection of a peer can be closed, and nobody else's with it.
    #[tokio::test]
    async fn all_of_one_peer_and_of_no_other() {
        let open = OpenConnections::default();
        let (first, second, other) = (open.add(node(1)), open.add(node(1)), open.add(node(2)));
        assert_eq!(open.close(|peer| *peer == node(1)), 2);
        first.closed().await;
        second.closed().await;
        assert!(!other.closed.is_cancelled());
        drop((first, second));
        assert_eq!((open.count(), open.close(|peer| *peer == node(1))), (1, 0));
    }
}
