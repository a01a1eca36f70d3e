//! What one connection has asked so far: whether a request has come in full, and how many were taken back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

/// Shared by a connection and its requests.
#[derive(Debug, Default)]
pub(super) struct Progress {
    has_asked: AtomicBool,
    asked: Notify,
    answered: AtomicUsize,
    abandoned: AtomicUsize,
    too_many: Notify,
}

impl Progress {
    /// Returns when a request has come in full, or was answered before.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Returns when so many more requests were taken back than were answered.
    pub(super) async fn abandoned(&self) {
        self.too_many.notified().await;
    }

    fn came(&self) {
        if !self.has_asked.swap(true, Ordering::Relaxed) {
            self.asked.notify_one();
        }
    }

    /// A request is worked on. Unless it is answered, it counts as taken back.
    pub(super) fn begin(self: &Arc<Self>, most_abandoned: usize) -> Begun {
        let is_cut = Arc::new(AtomicBool::new(false));
        Begun { progress: Arc::clone(self), most_abandoned, is_cut, is_answered: false }
    }
}

/// A request that is worked on.
pub(super) struct Begun {
    progress: Arc<Progress>,
    most_abandoned: usize,
    /// Whether its body broke off: then it was taken back, whatever was answered.
    is_cut: Arc<AtomicBool>,
    is_answered: bool,
}

impl Begun {
    /// Its body.
    pub(super) fn receive(&self, body: Incoming) -> Received {
        let (progress, is_cut) = (Arc::clone(&self.progress), Arc::clone(&self.is_cut));
        let received = Received { body, progress, is_cut };
        received.look();
        received
    }

    /// It is answered.
    pub(super) fn answered(mut self) {
        self.is_answered = !self.is_cut.load(Ordering::Relaxed);
        if !self.is_answered {
            return;
        }
        self.progress.answered.fetch_add(1, Ordering::Relaxed);
        self.progress.came();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_answered {
            let abandoned = self.progress.abandoned.fetch_add(1, Ordering::Relaxed) + 1;
            if abandoned > self.most_abandoned + self.progress.answered.load(Ordering::Relaxed) {
                self.progress.too_many.notify_one();
            }
        }
    }
}

/// The body of a request: tells when it has come in full.
pub(super) struct Received {
    body: Incoming,
    progress: Arc<Progress>,
    is_cut: Arc<AtomicBool>,
}

impl Received {
    fn look(&self) {
        if self.body.is_end_stream() {
            self.progress.came();
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.progress.came(),
            Poll::Ready(Some(Ok(_))) => self.look(),
            Poll::Ready(Some(Err(_))) => self.is_cut.store(true, Ordering::Relaxed),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: whoever takes back more requests than it lets be answered is noticed; whoever gives up now and then
    /// is not.
    #[tokio::test]
    async fn taking_back_is_counted_against_answers() {
        let progress = Arc::new(Progress::default());
        let noticed =
            async || tokio::time::timeout(std::time::Duration::ZERO, progress.abandoned()).await.is_ok();
        for _ in 0..100 {
            progress.begin(3).answered();
            drop(progress.begin(3));
        }
        assert!(!noticed().await);
        (0..4).for_each(|_| drop(progress.begin(3)));
        assert!(noticed().await);
    }
}
