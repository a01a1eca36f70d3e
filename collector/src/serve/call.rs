//! One call: admitted, given its turn, dispatched, ended in time, counted.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use evenkeel_runtime::trace::{self, TraceId};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use tracing::warn;

use super::Service;
use super::handled::Handled;
use super::overload::{about, come_back, household};
use super::progress::Progress;
use crate::access::{Origin, Peer};
use crate::metrics::count;

/// Who calls, on one connection.
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) origin: Origin,
    /// When what it has shown ends.
    pub(super) end: Option<SystemTime>,
    pub(super) progress: Arc<Progress>,
}

/// What the collector wants of the agent that calls: an extension of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Close the connection between check-ins.
    pub hang_up: bool,
}

impl Service {
    pub(super) async fn answer(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let trace = trace_of(request.headers());
        trace::within(trace, self.answer_it(caller, request)).await
    }

    async fn answer_it(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let begun = caller.progress.begin(self.port.transport.max_resets);
        let handled = Handled::begin(&self.port.metrics, request.uri().path());
        let (outcome, response) = match self.allowed(caller, request.uri().path()) {
            Ok(()) => self.in_time(caller, request.map(|body| Body::new(begun.receive(body)))).await,
            Err((outcome, status)) => (outcome, status.into_http()),
        };
        count(&self.port.metrics.requests, outcome);
        begun.answered();
        handled.answered(response)
    }

    fn allowed(&self, caller: &Caller, method: &str) -> Result<(), (&'static str, Status)> {
        let refused = |status: Status| {
            self.port.metrics.refused_calls.inc();
            if self.told.take((), Instant::now()).is_ok() {
                let Origin(from) = caller.origin;
                let (peer, why) = (caller.peer.to_string(), status.message());
                warn!(peer, method, from = from.map(|from| from.to_string()), why, "Call refused.");
            }
            ("refused", status)
        };
        // The connection ends with its certificate; until it does, it is good for nothing more.
        if caller.end.is_some_and(|end| end <= SystemTime::now()) {
            return Err(refused(Status::unauthenticated("the certificate of this connection has ended")));
        }
        self.admission.admit(&caller.peer, method).map_err(refused)?;
        match (&caller.peer, caller.origin) {
            (Peer::Anonymous, Origin(Some(from))) => {
                let taken = self.strangers.take(household(from), Instant::now());
                taken.map_err(|wait| {
                    ("rate_limited", come_back("too many ask for enrolment from this address", wait))
                })
            }
            _ => Ok(()),
        }
    }

    async fn in_time(&self, caller: &Caller, request: Request<Body>) -> (&'static str, Response<Body>) {
        let deadline = self.port.transport.request_deadline;
        timeout(deadline, self.in_turn(caller, request)).await.unwrap_or_else(|_| {
            let sentence = format!("the request took more than {} s", deadline.as_secs_f64());
            ("timed_out", Status::deadline_exceeded(sentence).into_http())
        })
    }

    async fn in_turn(&self, caller: &Caller, mut request: Request<Body>) -> (&'static str, Response<Body>) {
        let (requests, of) = match &caller.peer {
            Peer::User { name, .. } => (&self.requests_of_users, name.as_str()),
            Peer::Node { environment, .. } => (&self.requests, environment.as_str()),
            Peer::Lapsed { .. } | Peer::Anonymous => (&self.requests, ""),
        };
        let Some(_turn) = requests.turn(of).await else {
            let wait = about(self.port.transport.pushback);
            return ("shed", come_back("the collector is busy", wait).into_http());
        };
        request.extensions_mut().insert(caller.peer.clone());
        request.extensions_mut().insert(caller.origin);
        request.extensions_mut().insert(Wish { hang_up: self.wants_hang_up() });
        match self.routes.clone().oneshot(request).await {
            Ok(response) => (outcome(response.headers()), response),
            Err(never) => match never {},
        }
    }
}

/// The trace that the caller says its call belongs to. Several are none.
fn trace_of(headers: &HeaderMap) -> Option<TraceId> {
    let mut said = headers.get_all(trace::HEADER).iter();
    let (first, more) = (said.next()?, said.next());
    if more.is_some() { None } else { TraceId::parse(first.to_str().ok()?) }
}

/// What became of a call. An answer in full has its status behind it, any other one has it in its head.
fn outcome(headers: &HeaderMap) -> &'static str {
    match Status::from_header_map(headers).map(|status| status.code()) {
        None | Some(Code::Ok) => "answered",
        // tonic's word for a message that is too large, and ours for a content that is.
        Some(Code::OutOfRange) => "oversized",
        // The method was in the table of access, so it is the encoding that is not spoken.
        Some(Code::Unimplemented) => "encoding_refused",
        Some(Code::InvalidArgument) => "malformed",
        Some(Code::ResourceExhausted) => "rate_limited",
        Some(Code::PermissionDenied | Code::Unauthenticated) => "refused",
        Some(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_its_status() {
        let of = |status: Status| outcome(status.into_http::<Body>().headers());
        assert_eq!(outcome(&HeaderMap::new()), "answered");
        assert_eq!(of(Status::out_of_range("too large")), "oversized");
        assert_eq!(of(Status::unavailable("the journal")), "failed");
    }
}
