//! The connections that are open, by peer, so that they can be closed when a peer is no longer let in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::access::Peer;

/// The open connections of one collector. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, (Peer, Arc<Notify>)>,
    /// Of each node, the oldest first.
    of_node: HashMap<Uuid, Vec<u64>>,
}

/// One of them, for as long as it is held.
#[derive(Debug)]
pub struct OpenConnection {
    all: OpenConnections,
    number: u64,
    closed: Arc<Notify>,
}

impl OpenConnections {
    /// A connection of this peer is open from now on. Of a node's connections at most so many stay: a new one ends the
    /// oldest, which is probably one that was lost without a word.
    pub fn add(&self, peer: Peer, most_of_node: usize) -> OpenConnection {
        let closed = Arc::new(Notify::new());
        let mut connections = self.lock();
        let Connections { next, open, of_node } = &mut *connections;
        let number = *next;
        *next += 1;
        if let Peer::Node { id, .. } = &peer {
            let numbers = of_node.entry(*id).or_insert_with(|| Vec::with_capacity(1));
            numbers.push(number);
            let too_many = numbers.len().saturating_sub(most_of_node);
            let oldest = numbers[..too_many].iter().filter_map(|number| open.get(number));
            oldest.for_each(|(_, closed)| closed.notify_one());
        }
        open.insert(number, (peer, Arc::clone(&closed)));
        OpenConnection { all: self.clone(), number, closed }
    }

    /// Closes those of the peers that this says yes to, at once, whatever they are doing. Returns how many.
    pub fn close(&self, is_meant: impl Fn(&Peer) -> bool) -> usize {
        let connections = self.lock();
        let meant = connections.open.values().filter(|(peer, _)| is_meant(peer));
        meant.map(|(_, closed)| closed.notify_one()).count()
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
        self.closed.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut connections = self.all.lock();
        let Connections { next: _, open, of_node } = &mut *connections;
        if let Some((Peer::Node { id, .. }, _)) = open.remove(&self.number)
            && let Some(numbers) = of_node.get_mut(&id)
        {
            numbers.retain(|number| *number != self.number);
            if numbers.is_empty() {
                of_node.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn node(number: u128) -> Peer {
        Peer::Node { environment: "dev".into(), id: Uuid::from_u128(number) }
    }

    /// Whether it is to be closed, without waiting for it.
    async fn is_closed(connection: &OpenConnection) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, connection.closed()).await.is_ok()
    }

    /// Promise: every open connection of a peer can be closed, and nobody else's with it.
    #[tokio::test]
    async fn all_of_one_peer_and_of_no_other() {
        let open = OpenConnections::default();
        let (first, second, other) = (open.add(node(1), 4), open.add(node(1), 4), open.add(node(2), 4));
        assert_eq!(open.close(|peer| *peer == node(1)), 2);
        assert!(is_closed(&first).await && is_closed(&second).await && !is_closed(&other).await);
        drop((first, second));
        assert_eq!((open.count(), open.close(|peer| *peer == node(1))), (1, 0));
    }

    /// Promise: a node cannot hold more than its share, and its newest connection is the one that it gets.
    #[tokio::test]
    async fn a_new_one_of_a_node_ends_its_oldest() {
        let open = OpenConnections::default();
        let mine: Vec<_> = (0..3).map(|_| open.add(node(1), 2)).collect();
        let others: Vec<_> = (0..3).map(|_| open.add(Peer::Anonymous, 2)).collect();
        assert!(is_closed(&mine[0]).await);
        for connection in mine[1..].iter().chain(&others) {
            assert!(!is_closed(connection).await);
        }
        drop((mine, others));
        assert_eq!((open.count(), open.lock().of_node.len()), (0, 0));
    }
}
