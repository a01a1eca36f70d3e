//! A call until its very end: the status of an answer in full stands behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use http::Response;
use hyper::body::{Frame, SizeHint};
use tonic::{Code, Status};

use crate::metrics::Metrics;
use crate::metrics::calls::Method;

/// A call that has not ended. If it is dropped, its caller went away.
pub(super) struct Handled {
    metrics: Arc<Metrics>,
    method: Method,
    began: Instant,
    has_ended: bool,
}

impl Handled {
    /// A call of this path begins.
    pub(super) fn begin(metrics: &Arc<Metrics>, path: &str) -> Self {
        let method = Method::of(path);
        Self { metrics: Arc::clone(metrics), method, began: Instant::now(), has_ended: false }
    }

    /// The answer, counted when it has been handed over.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        match Status::from_header_map(response.headers()) {
            Some(status) => {
                self.end(status.code());
                response
            }
            None => response.map(|body| Body::new(Counted { body, handled: self })),
        }
    }

    fn end(&mut self, code: Code) {
        if !self.has_ended {
            self.has_ended = true;
            self.metrics.calls.handled(self.method, code, self.began.elapsed());
        }
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

struct Counted {
    body: Body,
    handled: Handled,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(status) = frame.trailers_ref().map(Status::from_header_map) {
                    self.handled.end(status.map_or(Code::Unknown, |status| status.code()));
                }
            }
            Poll::Ready(Some(Err(_))) => self.handled.end(Code::Unknown),
            Poll::Ready(None) => self.handled.end(Code::Ok),
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
    use hyper::body::Body as _;

    use super::*;
    use crate::state::State;

    /// An answer in full, with this status behind it; `None`: it breaks off there.
    struct Answer(Option<Status>);

    impl hyper::body::Body for Answer {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let Some(status) = self.0.take() else { return Poll::Pending };
            let mut trailers = http::HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            Poll::Ready(Some(Ok(Frame::trailers(trailers))))
        }
    }

    /// Promise: a call is counted once, by the status that its caller gets: in its head, behind it, or none because the caller
    /// went away before the end.
    #[test]
    fn each_call_is_counted_once_by_its_status() {
        let metrics = Arc::new(Metrics::default());
        let begin = || Handled::begin(&metrics, "/evenkeel.report.v1.ReportService/Watch");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        drop(begin());
        drop(begin().answered(Status::permission_denied("no").into_http()));
        for status in [Some(Status::ok("")), Some(Status::unavailable("the journal")), None] {
            let mut body = begin().answered(Response::new(Body::new(Answer(status)))).into_body();
            let _ = Pin::new(&mut body).poll_frame(&mut cx);
        }
        let text = metrics.text(&State::new(&[], Instant::now()), None);
        for (code, count) in [("Canceled", 2), ("PermissionDenied", 1), ("OK", 1), ("Unavailable", 1)] {
            let sample = format!(
                "grpc_server_handled_total{{grpc_type=\"server_stream\",grpc_service=\"evenkeel.report.v1.ReportService\",\
                 grpc_method=\"Watch\",grpc_code=\"{code}\"}} {count}\n"
            );
            assert!(text.contains(&sample), "no {sample} in\n{text}");
        }
    }
}
