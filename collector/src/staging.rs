//! Contents that agents have put and no commit has named yet. In memory, bounded, for a short time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::{Digest, Section};

/// How long a content waits for the check-in that names it.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes (canonical form) that wait at once.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The contents that wait.
#[derive(Debug, Default)]
pub struct Staging(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    contents: HashMap<Digest, (Instant, usize, Arc<Section>)>,
    bytes: usize,
}

impl Staging {
    /// Keeps a content of so many bytes. `false` when there is no room: the agent must come back later.
    pub fn put(&self, digest: Digest, bytes: usize, section: Section, now: Instant) -> bool {
        let mut waiting = self.lock();
        if waiting.bytes + bytes > MAX_BYTES {
            waiting.forget_expired(now);
        }
        if waiting.bytes + bytes > MAX_BYTES {
            return false;
        }
        if waiting.contents.insert(digest, (now, bytes, Arc::new(section))).is_none() {
            waiting.bytes += bytes;
        }
        true
    }

    /// A content that waits.
    pub fn find(&self, digest: Digest) -> Option<Arc<Section>> {
        self.lock().contents.get(&digest).map(|(_, _, section)| Arc::clone(section))
    }

    /// These are held durably now.
    pub fn forget(&self, digests: impl Iterator<Item = Digest>) {
        let mut waiting = self.lock();
        for digest in digests {
            if let Some((_, bytes, _)) = waiting.contents.remove(&digest) {
                waiting.bytes -= bytes;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn forget_expired(&mut self, now: Instant) {
        self.contents.retain(|_, (since, bytes, _)| {
            let keep = now.duration_since(*since) < PATIENCE;
            if !keep {
                self.bytes -= *bytes;
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::SectionBuilder;

    /// Promise: contents that nobody names do not fill the memory.
    #[test]
    fn it_is_bounded_and_forgets() {
        let staging = Staging::default();
        let (now, half) = (Instant::now(), MAX_BYTES / 2);
        let digest = |n: u8| Digest::of(&[n]);
        let section = || SectionBuilder::new("s").finish();
        assert!(staging.put(digest(1), half, section(), now));
        assert!(staging.put(digest(2), half, section(), now));
        assert!(!staging.put(digest(3), 1, section(), now));
        staging.forget([digest(1), digest(9)].into_iter());
        assert!(staging.put(digest(3), half, section(), now));
        assert!(staging.put(digest(4), half, section(), now + PATIENCE));
        assert!(staging.find(digest(2)).is_none());
        assert!(staging.find(digest(4)).is_some());
    }
}
