//! One call: admitted, dispatched, ended in time.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;
use tonic::Status;
use tower::ServiceExt as _;

use super::Service;
use crate::access::{Origin, Peer};

/// How long one request may take.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

impl Service {
    pub(super) async fn answer(
        &self,
        peer: Peer,
        origin: Origin,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if let Err(status) = self.admission.admit(&peer, request.uri().path()) {
            self.metrics.refused_calls.inc();
            return status.into_http();
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(origin);
        match timeout(REQUEST_DEADLINE, self.routes.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Status::deadline_exceeded("the request took more than 30 s").into_http(),
        }
    }
}
