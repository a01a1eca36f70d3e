//! What the service manager is told (systemd, `sd_notify(3)`): that the program is ready, alive, ending. Started by nobody
//! who wants to know, a program tells nobody.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

/// Ready: what was started after this may count on it. `how` is shown by `systemctl status`.
pub fn ready(how: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(how)]);
}

/// What it does now, shown by `systemctl status`.
pub fn status(how: &str) {
    tell(&[NotifyState::Status(how)]);
}

/// It has begun to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A manager that is gone cannot be told, and that changes nothing.
fn tell(states: &[NotifyState]) {
    let _ = sd_notify::notify(states);
}

/// The sign of life that the manager's watchdog waits for, given by a loop that turns: at half of the time that it allows.
#[derive(Debug)]
pub struct Pulse {
    every: Option<Duration>,
    next: Instant,
}

impl Pulse {
    /// As the manager asks for it; without a watchdog there is none.
    pub fn of_manager() -> Self {
        Self::every(sd_notify::watchdog_enabled().map(|allowed| allowed / 2))
    }

    fn every(every: Option<Duration>) -> Self {
        Self { every, next: Instant::now() }
    }

    /// When the next is due; `None`: never.
    pub fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    /// Gives it if it is due; whether it was.
    pub fn beat(&mut self) -> bool {
        let now = Instant::now();
        let Some(every) = self.every.filter(|_| now >= self.next) else { return false };
        self.next = now + every;
        tell(&[NotifyState::Watchdog]);
        true
    }

    /// Waits for something that has a deadline of its own, and gives signs of life meanwhile.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            self.beat();
            let Some(due) = self.due() else { return work.await };
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(due) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_pulse_beats_when_it_is_due_and_not_without_a_watchdog() {
        let mut pulse = Pulse::every(Some(Duration::from_secs(1000)));
        assert!(pulse.beat());
        assert!(!pulse.beat());
        assert!(pulse.due().is_some_and(|due| due > Instant::now()));
        pulse.next = Instant::now();
        assert!(pulse.beat());

        let mut none = Pulse::every(None);
        assert_eq!((none.due(), none.beat()), (None, false));
    }

    #[tokio::test]
    async fn a_long_wait_is_no_silence() {
        let mut looked = 0;
        // Nothing but the pulse makes it be looked at again.
        let work = poll_fn(|_| {
            looked += 1;
            if looked > 3 { Poll::Ready("done") } else { Poll::Pending }
        });
        assert_eq!(Pulse::every(Some(Duration::from_millis(1))).during(work).await, "done");
    }
}
