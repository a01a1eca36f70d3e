//! What one source may spend on one collection.

use std::cell::Cell;
use std::time::{Duration, Instant};

use evenkeel_facts::Reason;

/// The time and size that a source may spend. Long loops ask [`Budget::spend`] before each step and note what was left
/// out as unreadable, for the reason that it answers.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    bytes_left: Cell<usize>,
}

impl Budget {
    /// A budget that ends `time` from now or when `bytes` are spent, whichever comes first.
    pub fn new(time: Duration, bytes: usize) -> Self {
        Self { deadline: Instant::now() + time, bytes_left: Cell::new(bytes) }
    }

    /// Takes this many bytes of what will be kept. `Err(timeout)` behind the deadline, `Err(truncated)` when the bytes
    /// are spent; both stay so.
    pub fn spend(&self, bytes: usize) -> Result<(), Reason> {
        if Instant::now() >= self.deadline {
            return Err(Reason::Timeout);
        }
        let left = self.bytes_left.get().checked_sub(bytes);
        self.bytes_left.set(left.unwrap_or(0));
        left.filter(|left| *left > 0).map(|_| ()).ok_or(Reason::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_time_and_with_bytes() {
        assert_eq!(Budget::new(Duration::ZERO, 10).spend(1), Err(Reason::Timeout));
        let budget = Budget::new(Duration::from_secs(3600), 10);
        assert_eq!(budget.spend(9), Ok(()));
        assert_eq!(budget.spend(2), Err(Reason::Truncated));
        assert_eq!(budget.spend(0), Err(Reason::Truncated));
    }
}
