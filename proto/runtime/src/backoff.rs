//! How long to wait before trying again: exponential with full jitter, so that a fleet does not come back as a herd.

use std::time::Duration;

/// The shortest ceiling.
const FIRST: Duration = Duration::from_secs(1);
/// The longest ceiling.
const LAST: Duration = Duration::from_secs(5 * 60);

/// Counts failures. Each wait is random between zero and a ceiling that doubles from 1 s to the last one.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    last: Duration,
}

impl Backoff {
    /// With this last ceiling, at most 5 min.
    pub fn up_to(last: Duration) -> Self {
        Self { failures: 0, last: last.min(LAST) }
    }

    /// Another failure: how long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.last.min(FIRST * 2_u32.pow(self.failures.min(9)));
        self.failures += 1;
        ceiling.mul_f64(fraction())
    }

    /// It worked again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number from 0 (inclusive) to 1 (exclusive).
///
/// # Panics
///
/// If the system has no randomness.
pub fn fraction() -> f64 {
    let bits = getrandom::u32().expect("the system has randomness");
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_growing_ceiling() {
        let mut backoff = Backoff::up_to(Duration::MAX);
        for failures in 0..40 {
            let ceiling = LAST.min(FIRST * 2_u32.pow(failures.min(9)));
            assert!(backoff.next_wait() < ceiling);
        }
        backoff.reset();
        assert!(backoff.next_wait() < FIRST);
    }
}
