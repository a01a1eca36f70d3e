//! The moments that entries and reports carry, so that a report of a past moment shows what a report of then showed.
//!
//! An entry is stamped when it is decided and seen when it is durable. A report in between must not claim a moment at
//! which the entry was there already, and an entry must not claim one at which a report was without it.
//!
//! Wall time is believed as far as the time that has passed bears it out: a clock that is ahead by a year for a moment ends
//! no sign-off, forgets no noise and stamps nothing. One that stays ahead was wrong before, or the machine has slept.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_runtime::seeded::{self, Bug};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// How far an entry may be stamped ahead of the clock: a clock that was set back far is believed.
const AHEAD: SignedDuration = SignedDuration::from_secs(1);
/// The grain of the journal's times.
const GRAIN: SignedDuration = SignedDuration::from_millis(1);

/// How far wall time may run ahead of the time that has passed without being doubted.
const DOUBTED: SignedDuration = SignedDuration::from_mins(1);
/// For how long it has to stay ahead until it is believed.
const PROVEN: Duration = Duration::from_secs(5 * 60);

/// Hands out moments, to the millisecond.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    believed: Mutex<Believed>,
    moments: Mutex<Moments>,
}

impl Default for Clock {
    fn default() -> Self {
        let believed = Believed { last: Some((Timestamp::now(), Duration::ZERO)), doubted: None };
        Self { started: Instant::now(), believed: Mutex::new(believed), moments: Mutex::default() }
    }
}

/// What wall time is believed to be. All durations are of the clock that only goes on.
#[derive(Debug, Default)]
struct Believed {
    /// The last wall time that was believed, and when.
    last: Option<(Timestamp, Duration)>,
    /// Since when wall time is ahead of what is believed.
    doubted: Option<Duration>,
}

impl Believed {
    /// The time to go by, when the wall clock says `wall`.
    fn time(&mut self, wall: Timestamp, passed: Duration) -> Timestamp {
        let (last, when) = *self.last.get_or_insert((wall, passed));
        let expected = last.saturating_add(passed.saturating_sub(when)).unwrap_or(wall);
        let ahead = wall.duration_since(expected);
        if ahead > DOUBTED && !seeded::has(Bug::ClockBelieved) {
            if self.doubted.is_none() {
                warn!(
                    %wall, believed = %expected, for_seconds = PROVEN.as_secs(),
                    "The clock jumped ahead; the time that has passed is believed instead."
                );
            }
            if passed.saturating_sub(*self.doubted.get_or_insert(passed)) < PROVEN {
                return expected;
            }
            warn!(%wall, "The clock stays ahead and is believed.");
        }
        *self = Self { last: Some((wall, passed)), doubted: None };
        wall
    }
}

#[derive(Debug, Default)]
struct Moments {
    /// The newest moment that a report was given.
    read: Timestamp,
    /// The moment of entries that are decided and not seen yet.
    pending: Option<Timestamp>,
}

impl Clock {
    /// Wall time, as far as it is believed.
    pub fn time(&self) -> Timestamp {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: of two that ask at once, the later one must not be answered first.
        believed.time(Timestamp::now(), self.started.elapsed())
    }

    /// The moment of entries that are decided now. They are pending until [`Clock::settle`].
    pub fn decide(&self, now: Timestamp) -> Timestamp {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let now = floor(now);
        let next = moments.read.saturating_add(GRAIN).unwrap_or(Timestamp::MAX);
        let moment = if next > now && next.duration_since(now) <= AHEAD { next } else { now };
        moments.pending = Some(moment);
        moment
    }

    /// What was decided is seen, or will never be. To be called before anybody can read the state.
    pub fn settle(&self) {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).pending = None;
    }

    /// The moment of a report on the state that the caller holds.
    pub fn read(&self, now: Timestamp) -> Timestamp {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Promise P7: wall time that jumps ahead is doubted until it has stayed there; behind, it is believed at once.
    #[test]
    fn a_clock_that_is_ahead_for_a_moment_is_not_believed() {
        let mut believed = Believed::default();
        let second = Duration::from_secs;
        let year = 31_536_000_000;
        assert_eq!(believed.time(ms(0), second(10)), ms(0));
        assert_eq!(believed.time(ms(61_000), second(11)), ms(61_000), "a minute is a correction");
        assert_eq!(believed.time(ms(year), second(21)), ms(71_000));
        assert_eq!(believed.time(ms(year + 100_000), second(121)), ms(171_000));
        assert_eq!(believed.time(ms(172_000), second(122)), ms(172_000), "it is right again");
        assert_eq!(believed.time(ms(year), second(123)), ms(173_000));
        assert_eq!(believed.time(ms(year), second(422)), ms(472_000), "299 s are not 5 min");
        assert_eq!(believed.time(ms(year), second(423)), ms(year), "it stays ahead");
        assert_eq!(believed.time(ms(5), second(424)), ms(5), "set back");
    }

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
