//! The connection to the collector: kept open or hung up, as the collector asks; and when it is lost, reopened at a
//! moment of this agent's own, so that a fleet does not come back as a herd.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evenkeel_proto::fleet::CheckInResponse;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_runtime::backoff::fraction;
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::line::Line;
use rustls::ClientConfig;
use tonic::transport::Channel;

/// The connection to one collector.
pub struct Link {
    collector: Address,
    config: Arc<ArcSwap<ClientConfig>>,
    /// Which part of the time that the collector grants this agent waits before it comes back: 0 to 1.
    share: f64,
    state: Mutex<State>,
}

struct State {
    channel: Channel,
    line: Line,
    /// What the collector last asked for; `None` before its first answer.
    reconnect_within: Option<Duration>,
}

impl Link {
    /// To this collector. Connects when it is first used; a configuration that is swapped in serves from the next
    /// connection on.
    pub fn new(collector: Address, config: Arc<ArcSwap<ClientConfig>>) -> Self {
        let (channel, line) = open(&collector, &config);
        let state = Mutex::new(State { channel, line, reconnect_within: None });
        Self { collector, config, share: fraction(), state }
    }

    /// The channel as it is now.
    pub fn channel(&self) -> Channel {
        self.lock().channel.clone()
    }

    /// How long to wait before the collector is to be told that nothing changed: while the connection is lost, until
    /// this agent's moment within the time that the collector named has come. News never wait for it.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let within = state.reconnect_within?;
        let moment = state.line.lost_at()? + within.mul_f64(self.share);
        moment.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// The collector has answered: what it asks for is done.
    pub fn heed(&self, answer: &CheckInResponse) {
        let CheckInResponse { answer, hang_up, reconnect_within, renew: _ } = answer;
        let mut state = self.lock();
        state.reconnect_within = Some(Duration::from_millis(*reconnect_within));
        // Not before everything is said.
        if *hang_up && matches!(answer, Some(Answer::UpToDate(_))) {
            self.hang_up_now(&mut state);
        }
    }

    /// Closes the connection; the next call opens another, with the configuration as it is then.
    pub fn hang_up(&self) {
        self.hang_up_now(&mut self.lock());
    }

    /// Without its last handle the old one closes. The new one was never open, so it is not lost.
    fn hang_up_now(&self, state: &mut State) {
        (state.channel, state.line) = open(&self.collector, &self.config);
    }

    /// Within which time agents come back after the connection was lost; `None` before the collector's first answer.
    pub fn reconnect_within(&self) -> Option<Duration> {
        self.lock().reconnect_within
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(collector: &Address, config: &Arc<ArcSwap<ClientConfig>>) -> (Channel, Line) {
    let line = Line::default();
    (channel::on_line(collector, Arc::clone(config), &line), line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_proto::fleet::{RetryAfter, UpToDate};
    use evenkeel_runtime::tls;

    fn link() -> Link {
        let pin = "0".repeat(64).parse().unwrap();
        let config = tls::pinned_client(pin).unwrap();
        Link::new(Address::new("127.0.0.1", 1), Arc::new(ArcSwap::from_pointee(config)))
    }

    fn answer(answer: Answer, hang_up: bool) -> CheckInResponse {
        CheckInResponse { answer: Some(answer), hang_up, reconnect_within: 60_000, renew: false }
    }

    /// Promise: after a connection was lost an agent that has nothing new waits for its moment within the time that
    /// the collector named; one that hung up because it was asked to has lost nothing.
    #[tokio::test]
    async fn a_lost_connection_is_reopened_at_a_moment_of_its_own() {
        let link = Link { share: 0.5, ..link() };
        let now = Instant::now();
        let lose = |link: &Link| drop(link.lock().line.open(()));
        lose(&link);
        assert_eq!(link.wait(now), None, "nothing was named yet");
        link.heed(&answer(Answer::RetryAfter(RetryAfter { milliseconds: 1 }), true));
        let wait = link.wait(now).expect("it was lost, and not hung up before all was said");
        assert!(wait > Duration::from_secs(29) && wait < Duration::from_secs(31), "{wait:?}");
        assert_eq!(link.wait(now + Duration::from_secs(31)), None);
        link.heed(&answer(Answer::UpToDate(UpToDate {}), true));
        assert_eq!((link.wait(now), link.reconnect_within()), (None, Some(Duration::from_secs(60))));
    }
}
