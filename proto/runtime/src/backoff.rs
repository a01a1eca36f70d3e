//! How long to wait before trying again: exponential with full jitter, so that a fleet does not come back as a herd.

use std::time::Duration;

/// The shortest ceiling.
const FIRST: Duration = Duration::from_secs(1);
/// The longest ceiling.
const LAST: Duration = Duration::from_secs(5 * 60);

/// As many quick retries as can be saved up, and what a success saves: of ten calls that work, one may be repeated soon.
const BUDGET: f64 = 10.0;
const SAVED: f64 = 0.1;

/// Counts failures. Each wait is random between zero and a ceiling that doubles from 1 s to the last one. Whoever fails
/// again and again in between has no quick retries left, and waits about the last ceiling each time.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    last: Duration,
    budget: f64,
}

impl Backoff {
    /// With this last ceiling, at most 5 min.
    pub fn up_to(last: Duration) -> Self {
        Self { failures: 0, last: last.min(LAST), budget: BUDGET }
    }

    /// From now on with this last ceiling, at most 5 min.
    pub fn set_last(&mut self, last: Duration) {
        self.last = last.min(LAST);
    }

    /// Another failure: how long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.last.min(FIRST * 2_u32.pow(self.failures.min(9)));
        self.failures += 1;
        if self.budget < 1.0 {
            return self.last.mul_f64(0.5 + 0.5 * fraction());
        }
        self.budget -= 1.0;
        ceiling.mul_f64(fraction())
    }

    /// It worked again.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.budget = (self.budget + SAVED).min(BUDGET);
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
            let wait = backoff.next_wait();
            assert!(wait < ceiling || failures >= 10, "{failures}: {wait:?}");
        }
        backoff.reset();
        backoff.budget = BUDGET;
        assert!(backoff.next_wait() < FIRST);
    }

    /// Promise: of calls that work and fail in turn, at most a tenth is soon repeated.
    #[test]
    fn quick_retries_have_a_budget() {
        let mut backoff = Backoff::up_to(LAST);
        let quick = (0..1_000).filter(|_| {
            backoff.reset();
            backoff.next_wait() < FIRST
        });
        let quick = quick.count();
        assert!((100..=111).contains(&quick), "{quick} of 1000");
    }

    #[test]
    fn a_shorter_last_ceiling_holds_from_now_on() {
        let mut backoff = Backoff::up_to(LAST);
        backoff.budget = 0.0;
        assert!(backoff.next_wait() >= LAST / 2);
        backoff.set_last(FIRST);
        assert!(backoff.next_wait() <= FIRST);
    }
}
