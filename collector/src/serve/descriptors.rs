//! How many descriptors there are, and who gets how many. A connection that cannot be accepted for want of one cannot even
//! be refused, and a listener that tries again and again burns a processor.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// For what is opened later: the store's own files, a scrape, a backup.
const RESERVE: u64 = 32;
/// No port may do with fewer.
const LEAST: u64 = 4;
/// Of a small limit, this part is for each of the ports that are not the fleet's.
const SMALL_SHARE: u64 = 12;
/// And of a large one so many.
const SMALL_PORT: u64 = 64;
/// More connections than a machine can hold.
const MOST: u64 = 1_000_000;

/// Connections at the same time, by port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Agents and people.
    pub fleet: usize,
    /// Each of the others: enrolment, the collector's own host, HTTP.
    pub other: usize,
}

impl Shares {
    /// What this process may open, after what it has open now. The soft limit is raised to the hard one first: that is
    /// what the hard one is for.
    pub fn of_this_process(max_fleet: usize) -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_) => soft,
        };
        let open = std::fs::read_dir("/proc/self/fd").map_or(RESERVE, |open| open.count() as u64);
        Self::of(limit.saturating_sub(open), max_fleet)
    }

    fn of(left: u64, max_fleet: usize) -> Self {
        let left = left.saturating_sub(RESERVE);
        let other = (left / SMALL_SHARE).clamp(LEAST, SMALL_PORT);
        let mut fleet = left.saturating_sub(3 * other).clamp(LEAST, MOST);
        if max_fleet > 0 {
            fleet = fleet.min(max_fleet as u64);
        }
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self { fleet: count(fleet), other: count(other) }
    }
}

/// A descriptor that is held so that, when none is left, one can be given up to accept and close a connection: its other
/// side hears of it, and comes back later.
#[derive(Debug)]
pub struct Spare(Mutex<Option<File>>);

impl Default for Spare {
    fn default() -> Self {
        Self(Mutex::new(Self::open()))
    }
}

impl Spare {
    /// Gives it up.
    pub fn give_up(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes it back.
    pub fn take_back(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Self::open();
    }

    fn open() -> Option<File> {
        let file = File::open("/dev/null");
        file.inspect_err(|error| warn!(%error, "No descriptor can be held in reserve.")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_gets_most_of_any_limit() {
        for (left, fleet, other) in [(100, 53, 5), (230, 150, 16), (1_000, 776, 64), (500_000, 499_776, 64)] {
            assert_eq!(Shares::of(left, 0), Shares { fleet, other }, "{left}");
        }
        assert_eq!(Shares::of(0, 0), Shares { fleet: 4, other: 4 });
        assert_eq!(Shares::of(1_000, 10).fleet, 10);
    }
}
