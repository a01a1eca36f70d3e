//! How often somebody may do something: a burst after a quiet time, then one at a time. Token buckets, kept as the moment
//! at which each would be full again (GCRA): a key that was quiet costs nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most keys at the same time. Nobody has so many nodes or honest strangers in a burst; what is above it is refused.
const MAX_KEYS: usize = 1 << 20;
/// Below so many keys nothing is looked through.
const FEW: usize = 1024;

/// A bucket for each key.
#[derive(Debug)]
pub struct Rates<K> {
    every: Duration,
    burst: u32,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    full_at: HashMap<K, Instant>,
    look_at: usize,
}

impl<K: Eq + Hash> Rates<K> {
    /// One each `every`, and `burst` after a quiet time. With no time in between there is no limit.
    pub fn new(every: Duration, burst: u32) -> Self {
        let buckets = Buckets { full_at: HashMap::new(), look_at: FEW };
        Self { every, burst: burst.max(1), buckets: Mutex::new(buckets) }
    }

    /// Takes one. The error is how long until there is one again.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        if self.every.is_zero() {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.forget_full(now);
        if buckets.full_at.len() >= MAX_KEYS && !buckets.full_at.contains_key(&key) {
            return Err(self.every);
        }
        let full_at = buckets.full_at.entry(key).or_insert(now);
        let from = (*full_at).max(now);
        let room = self.every * (self.burst - 1);
        match from.duration_since(now).checked_sub(room) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = from + self.every;
                Ok(())
            }
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn forget_full(&mut self, now: Instant) {
        if self.full_at.len() >= self.look_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.look_at = (2 * self.full_at.len()).max(FEW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Promise: a burst, then one at a time, each key for itself; a quiet time gives the burst back.
    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let rates = Rates::new(10 * SECOND, 5);
        let start = Instant::now();
        let taken = |key, now| (0..20).filter(|_| rates.take(key, now).is_ok()).count();
        assert_eq!(taken("a", start), 5);
        assert_eq!(rates.take("a", start), Err(10 * SECOND));
        assert_eq!(rates.take("a", start + 4 * SECOND), Err(6 * SECOND));
        assert_eq!(taken("b", start), 5);
        assert_eq!(taken("a", start + 10 * SECOND), 1);
        assert_eq!(taken("a", start + 100 * SECOND), 5);
    }

    #[test]
    fn no_time_is_no_limit() {
        let rates = Rates::new(Duration::ZERO, 1);
        assert!((0..1000).all(|_| rates.take((), Instant::now()).is_ok()));
    }

    /// Promise: keys that were heard once do not fill the memory.
    #[test]
    fn quiet_keys_are_forgotten() {
        let rates = Rates::new(SECOND, 1);
        let start = Instant::now();
        for key in 0..100_000_u32 {
            rates.take(key, start + SECOND * (key / 100)).unwrap();
        }
        assert!(rates.buckets.lock().unwrap().full_at.len() < 3 * FEW);
    }
}
