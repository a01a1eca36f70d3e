//! More than can be done: a bounded number of requests is worked on, a bounded number waits, and whoever comes then is told
//! at once when to come back.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_runtime::backoff::fraction;
use evenkeel_runtime::channel::PUSHBACK;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::metadata::MetadataValue;

/// Of all places, this part is kept from any one environment, or any one person: the others find a place there, however
/// loud that one is.
const KEPT_PART: usize = 4;

/// How many places each environment, or each person, has now. There are few of them, and none is made by whoever calls.
type Held = Vec<(Box<str>, usize)>;

/// Requests of one kind of caller.
#[derive(Debug)]
pub struct Requests {
    all: Arc<Semaphore>,
    running: Arc<Semaphore>,
    most_of_one: usize,
    held: Arc<Mutex<Held>>,
}

/// One that is worked on, for as long as it is held.
#[derive(Debug)]
pub struct Turn {
    _running: OwnedSemaphorePermit,
    _share: Share,
}

/// A place of an environment or a person.
#[derive(Debug)]
struct Share {
    held: Arc<Mutex<Held>>,
    at: usize,
    _all: OwnedSemaphorePermit,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)[self.at].1 -= 1;
    }
}

impl Requests {
    /// So many at the same time, and so many more that wait.
    pub fn new(running: usize, waiting: usize) -> Self {
        let all = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        let running = running.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            running: Arc::new(Semaphore::new(running)),
            most_of_one: (all - all / KEPT_PART).max(1),
            held: Arc::default(),
        }
    }

    /// Waits for its turn; `None` when too many wait already, of all or of this environment or person.
    pub async fn turn(&self, of: &str) -> Option<Turn> {
        let share = self.share(of)?;
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Turn { _running: running, _share: share })
    }

    fn share(&self, of: &str) -> Option<Share> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.iter().position(|(known, _)| **known == *of).unwrap_or_else(|| {
            held.push((of.into(), 0));
            held.len() - 1
        });
        if held[at].1 >= self.most_of_one {
            return None;
        }
        held[at].1 += 1;
        Some(Share { held: Arc::clone(&self.held), at, _all: all })
    }
}

/// The answer to whoever asks too much: come back after this time, and a little later, since others are told the same.
pub fn come_back(why: &str, wait: Duration) -> Status {
    let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut status = Status::resource_exhausted(format!("{why}: come back in {milliseconds} ms"));
    status.metadata_mut().insert(PUSHBACK, MetadataValue::from(milliseconds));
    status
}

/// Between half and one and a half of this time: those who are told so at the same time do not come back so.
pub fn about(time: Duration) -> Duration {
    time.mul_f64(0.5 + fraction())
}

/// Whom an address stands for: with IPv6 one machine has a whole /64.
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::channel::pushback;

    /// Promise: what cannot be done soon is refused at once, and what waits gets its turn.
    #[tokio::test]
    async fn a_bounded_number_waits() {
        let requests = Arc::new(Requests::new(1, 1));
        let first = requests.turn("prod").await.expect("there is room");
        let second = tokio::spawn({
            let requests = Arc::clone(&requests);
            async move { requests.turn("prod").await.is_some() }
        });
        while requests.all.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(requests.turn("prod").await.is_none());
        drop(first);
        assert!(second.await.unwrap());
        assert!(requests.turn("prod").await.is_some());
    }

    /// Promise: one environment that asks without end does not keep the others out.
    #[tokio::test]
    async fn one_environment_does_not_take_all_places() {
        let requests = Requests::new(8, 0);
        let mut turns = Vec::new();
        while let Some(turn) = requests.turn("dev").await {
            turns.push(turn);
        }
        assert_eq!(turns.len(), 6);
        let others = [requests.turn("prod").await, requests.turn("staging").await];
        assert!(others.iter().all(Option::is_some));
        assert!(requests.turn("prod").await.is_none(), "all are taken");
        turns.pop();
        assert!(requests.turn("dev").await.is_some(), "a place that was given back is a place");
    }

    #[test]
    fn the_answer_says_when() {
        let status = come_back("the collector is busy", Duration::from_millis(1500));
        assert_eq!(status.message(), "the collector is busy: come back in 1500 ms");
        assert_eq!(pushback(&status), Some(Duration::from_millis(1500)));
        let about = about(Duration::from_secs(10));
        assert!(about >= Duration::from_secs(5) && about < Duration::from_secs(15));
    }

    #[test]
    fn a_machine_is_one_household() {
        for (address, household_of) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(household(address.parse().unwrap()), household_of.parse::<IpAddr>().unwrap());
        }
    }
}
