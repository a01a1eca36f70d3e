//! The moments that entries and reports carry, so that a report of a past moment shows what a report of then showed.
//!
//! An entry is stamped when it is decided and seen when it is durable. A report in between must not claim a moment at
//! which the entry was there already, and an entry must not claim one at which a report was without it.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// How far an entry may be stamped ahead of the clock: a clock that was set back far is believed.
const AHEAD: SignedDuration = SignedDuration::from_secs(1);
/// The grain of the journal's times.
const GRAIN: SignedDuration = SignedDuration::from_millis(1);

/// Hands out moments, to the millisecond.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Moments>);

#[derive(Debug, Default)]
struct Moments {
    /// The newest moment that a report was given.
    read: Timestamp,
    /// The moment of entries that are decided and not seen yet.
    pending: Option<Timestamp>,
}

impl Clock {
    /// The moment of entries that are decided now. They are pending until [`Clock::settle`].
    pub fn decide(&self, now: Timestamp) -> Timestamp {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = floor(now);
        let next = moments.read.saturating_add(GRAIN).unwrap_or(Timestamp::MAX);
        let moment = if next > now && next.duration_since(now) <= AHEAD { next } else { now };
        moments.pending = Some(moment);
        moment
    }

    /// What was decided is seen, or will never be. To be called before anybody can read the state.
    pub fn settle(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pending = None;
    }

    /// The moment of a report on the state that the caller holds.
    pub fn read(&self, now: Timestamp) -> Timestamp {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = moments.pending.and_then(|at| at.saturating_sub(GRAIN).ok());
        let moment = before.map_or(floor(now), |before| before.min(floor(now)));
        moments.read = moment;
        moment
    }
}

fn floor(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_790_000_000_000 + ms).unwrap()
    }

    /// Promise: an entry is newer than every report without it, and not newer than one with it.
    #[test]
    fn entries_and_reports_of_one_millisecond_have_an_order() {
        let clock = Clock::default();
        assert_eq!(clock.read(ms(5)), ms(5));
        assert_eq!(clock.decide(ms(5)), ms(6));
        assert_eq!(clock.read(ms(9)), ms(5), "what is pending is not seen");
        clock.settle();
        assert_eq!(clock.read(ms(9)), ms(9));
    }

    #[test]
    fn a_clock_that_was_set_back_far_is_believed() {
        let clock = Clock::default();
        clock.read(ms(31_536_000_000));
        assert_eq!(clock.decide(ms(0)), ms(0));
    }
}
