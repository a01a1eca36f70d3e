//! More than can be done: a bounded number of requests is worked on, a bounded number waits, and whoever comes then is told
//! at once when to come back.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_runtime::backoff::fraction;
use evenkeel_runtime::channel::PUSHBACK;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::metadata::MetadataValue;

/// Requests of one kind of caller.
#[derive(Debug)]
pub struct Requests {
    all: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// One that is worked on, for as long as it is held.
#[derive(Debug)]
pub struct Turn {
    _all: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Requests {
    /// So many at the same time, and so many more that wait.
    pub fn new(running: usize, waiting: usize) -> Self {
        let all = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        let running = running.min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(all)), running: Arc::new(Semaphore::new(running)) }
    }

    /// Waits for its turn; `None` when too many wait already.
    pub async fn turn(&self) -> Option<Turn> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Turn { _all: all, _running: running })
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
        let first = requests.turn().await.expect("there is room");
        let second = tokio::spawn({
            let requests = Arc::clone(&requests);
            async move { requests.turn().await.is_some() }
        });
        while requests.all.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(requests.turn().await.is_none());
        drop(first);
        assert!(second.await.unwrap());
        assert!(requests.turn().await.is_some());
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
