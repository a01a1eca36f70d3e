//! How often and how much nodes may report, and when they come back after the collector was away.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::config::Transport;
use crate::rate::Rates;

/// Contents that are decompressed at the same time: each may take 16 MiB, and more than processors gain nothing.
const DECODERS: usize = 4;

/// The limits of what nodes report.
#[derive(Debug)]
pub struct Limits {
    syncs: Rates<Uuid>,
    uploads: Semaphore,
    max_uploads: usize,
    pub(super) decoders: Semaphore,
    reconnects_per_second: u32,
    longest_window: Duration,
}

impl Limits {
    /// As configured. A node that comes back within half of the time after which it would be stale is not stale.
    pub fn new(transport: &Transport, stale_after: Duration) -> Self {
        let max_uploads = transport.max_uploads.min(Semaphore::MAX_PERMITS);
        Self {
            syncs: Rates::new(transport.sync_every, transport.sync_burst),
            uploads: Semaphore::new(max_uploads),
            max_uploads,
            decoders: Semaphore::new(DECODERS),
            reconnects_per_second: transport.reconnects_per_second,
            longest_window: stale_after / 2,
        }
    }

    /// The node reports a change. The error is how long until it may.
    pub(super) fn sync(&self, node: Uuid) -> Result<(), Duration> {
        self.syncs.take(node, Instant::now())
    }

    /// Waits for room for an upload. How many wait is bounded where requests are, and for how long by their deadline.
    pub(super) async fn upload(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.uploads.acquire().await.ok()
    }

    /// Whether an upload is under way.
    pub(super) fn is_uploading(&self) -> bool {
        self.uploads.available_permits() < self.max_uploads
    }

    /// Within which time so many agents come back.
    pub(super) fn reconnect_within(&self, nodes: usize) -> Duration {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        let window = Duration::from_secs_f64(f64::from(nodes) / f64::from(self.reconnects_per_second));
        window.min(self.longest_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: after the collector was away, agents come back at a bounded rate, and none of them is stale by that.
    #[test]
    fn the_window_grows_with_the_fleet_and_makes_nobody_stale() {
        let within = |nodes, stale_after| {
            Limits::new(&Transport::default(), Duration::from_secs(stale_after)).reconnect_within(nodes)
        };
        assert!(within(4, 180) < Duration::from_millis(20));
        assert_eq!(within(9_990, 180), Duration::from_secs(30));
        assert_eq!(within(99_900, 900), Duration::from_secs(300));
        assert_eq!(within(99_900, 180), Duration::from_secs(90));
    }
}
