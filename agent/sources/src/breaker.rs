//! Sources that keep failing are tried less often: whatever is wrong costs its deadline at each try, and a source that
//! panics will panic again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_facts::{Observation, Reason, Section};

use crate::Collected;
use crate::source::DEADLINE;

/// So often in a row a source may fail before it rests.
const FAILURES: u32 = 3;
/// How long it rests then; twice as long after each further failure.
const REST: Duration = Duration::from_secs(120);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// The sources that failed when they looked last.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<&'static str, Breaker>>);

#[derive(Debug)]
struct Breaker {
    failures: u32,
    /// Not before.
    next_try: Instant,
    last: Collected,
}

impl Breakers {
    /// What a source that rests has to say: what it said last, and how long it rests.
    pub(crate) fn resting(&self, source: &'static str, now: Instant) -> Option<Collected> {
        let breakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = breakers.get(source)?;
        let rests = breaker.next_try.checked_duration_since(now).filter(|rest| !rest.is_zero())?;
        Some(Collected { took: Duration::ZERO, fault: None, rests: Some(rests), ..breaker.last.clone() })
    }

    /// Takes note of how a look ended.
    pub(crate) fn note(&self, collected: &Collected, now: Instant) {
        let mut breakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_failed(collected) {
            breakers.remove(collected.source);
            return;
        }
        let failures = breakers.get(collected.source).map_or(0, |breaker| breaker.failures).saturating_add(1);
        let rest = match failures.checked_sub(FAILURES) {
            None => Duration::ZERO,
            Some(more) => REST.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_REST),
        };
        let breaker = Breaker { failures, next_try: now + rest, last: collected.clone() };
        breakers.insert(collected.source, breaker);
    }
}

/// Whether a source failed as such: it panicked, or its time was up. What it may not read is no failure of its own.
fn has_failed(collected: &Collected) -> bool {
    let timed_out = |(_, seen): &(_, Observation)| *seen == Observation::Unreadable(Reason::Timeout);
    collected.fault.is_some()
        || collected.took >= DEADLINE
        || collected.sections.iter().flat_map(Section::facts).any(timed_out)
}

#[cfg(test)]
mod tests {
    use evenkeel_facts::{FactPath, SectionBuilder};

    use super::*;
    use crate::host::Places;

    fn look(reason: Option<Reason>) -> Collected {
        let mut section = SectionBuilder::new("kernel");
        if let Some(reason) = reason {
            section.unreadable(FactPath::known("kernel"), reason);
        }
        let sections = vec![section.finish()];
        Collected {
            source: "kernel",
            sections,
            took: REST / 1000,
            places: Places::default(),
            fault: None,
            rests: None,
        }
    }

    /// Promise: a source that keeps running out of time is tried less and less often, at least once an hour, and as often
    /// as any other once it has succeeded.
    #[test]
    fn who_keeps_failing_rests() {
        let breakers = Breakers::default();
        let mut now = Instant::now();
        let mut rests = Vec::new();
        for _ in 0..10 {
            assert!(breakers.resting("kernel", now).is_none());
            breakers.note(&look(Some(Reason::Timeout)), now);
            let resting = breakers.resting("kernel", now);
            let rest = resting.as_ref().and_then(|resting| resting.rests).unwrap_or_default();
            if let Some(resting) = resting {
                assert_eq!(resting.sections, look(Some(Reason::Timeout)).sections);
            }
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [0, 0, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        breakers.note(&look(Some(Reason::Permission)), now);
        breakers.note(&look(Some(Reason::Timeout)), now);
        assert!(breakers.resting("kernel", now).is_none());
    }
}
