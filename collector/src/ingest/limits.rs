//! How often and how much nodes may report, and when they come back after the collector was away.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::config::Transport;
use crate::rate::Rates;

/// Contents that are decompressed at the same time: each may take 16 MiB, and more than processors gain nothing.
const DECODERS: usize = 4;
/// So many nodes are asked for bundles at once, and so many again in a second.
const BUNDLES: u32 = 8;

/// The limits of what nodes report.
#[derive(Debug)]
pub struct Limits {
    syncs: Rates<Uuid>,
    uploads: Semaphore,
    bundles: Rates<()>,
    pub(super) decoders: Semaphore,
    reconnects_per_second: u32,
    longest_window: Duration,
}

impl Limits {
    /// As configured. A node that comes back within half of the time after which it would be stale is not stale.
    pub fn new(transport: &Transport, stale_after: Duration) -> Self {
        Self {
            syncs: Rates::new(transport.sync_every, transport.sync_burst),
            uploads: Semaphore::new(transport.max_uploads.min(Semaphore::MAX_PERMITS)),
            bundles: Rates::new(Duration::from_secs(1) / BUNDLES, BUNDLES),
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

    /// Whether a node that is asked for contents may bundle them. A bundle is smaller on the wire, but it is not kept as it
    /// comes: what is in it is compressed again. With many who send that is a third of what they cost.
    pub(super) fn bundles(&self, now: Instant) -> bool {
        self.bundles.take((), now).is_ok()
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

    /// Promise: a node that comes alone is asked for the form that is smallest on the wire, and of a fleet that comes at once
    /// nearly all for the one that costs the collector least.
    #[test]
    fn few_bundles_are_taken_at_once() {
        let limits = Limits::new(&Transport::default(), Duration::from_secs(180));
        let now = Instant::now();
        let taken = (0..1_000).filter(|_| limits.bundles(now)).count();
        assert_eq!(taken, 8);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| limits.bundles(later)).count(), 8);
    }
}
