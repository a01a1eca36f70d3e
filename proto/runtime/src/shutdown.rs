//! The end, announced: SIGTERM and SIGINT become a state that every task can wait for.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells everybody to end. Dropping it does too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what waits for it.
pub fn pair() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Now.
    pub fn shut_down(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Ends when the process is told to end by SIGTERM or SIGINT. Must be called within a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (trigger, shutdown) = pair();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            trigger.shut_down();
        });
        Ok(shutdown)
    }

    /// Returns once the end was announced.
    pub async fn wait(&self) {
        // An error means that the trigger was dropped: nobody could announce the end any more.
        let _ = self.0.clone().wait_for(|end| *end).await;
    }

    /// Whether it was announced.
    pub fn is_announced(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_of_it_once_and_for_all() {
        let (trigger, shutdown) = pair();
        let other = shutdown.clone();
        assert!(!shutdown.is_announced());
        trigger.shut_down();
        shutdown.wait().await;
        other.wait().await;
        assert!(other.is_announced());
    }
}
