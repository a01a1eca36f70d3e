//! Calls and requests, under the names that dashboards for gRPC and HTTP servers ask for.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::access;

/// Seconds: the limits that Prometheus' own clients have.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Methods with a stream; all others are unary.
const STREAMS: [(&str, &str); 5] = [
    ("/evenkeel.fleet.v1.FleetService/PutSections", "client_stream"),
    ("/evenkeel.report.v1.ReportService/Watch", "server_stream"),
    ("/grpc.health.v1.Health/Watch", "server_stream"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "bidi_stream"),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "bidi_stream"),
];

/// A method. One that is in no table is `unknown`, whatever it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "these are the names of the labels")]
pub struct Method {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

impl Method {
    /// Of a request's path.
    pub fn of(path: &str) -> Self {
        let unknown = Self { grpc_type: "unary", grpc_service: "unknown", grpc_method: "unknown" };
        let Some(known) = access::known(path) else { return unknown };
        let Some((grpc_service, grpc_method)) = known[1..].split_once('/') else { return unknown };
        let grpc_type = STREAMS.iter().find(|(name, _)| *name == known).map_or("unary", |(_, kind)| *kind);
        Self { grpc_type, grpc_service, grpc_method }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "these are the names of the labels")]
struct Ended {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requested {
    handler: Arc<str>,
    method: String,
    code: u16,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Calls of gRPC, requests of HTTP.
#[derive(Debug)]
pub struct Calls {
    handled: Family<Ended, Counter>,
    handling: Durations<Method>,
    http: Durations<Requested>,
}

impl Default for Calls {
    fn default() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            handled: Family::default(),
            handling: Family::new_with_constructor(durations),
            http: Family::new_with_constructor(durations),
        }
    }
}

impl Calls {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "grpc_server_handled",
            "Calls that ended, by method and status; on every gRPC port and the local socket",
            self.handled.clone(),
        );
        registry.register(
            "grpc_server_handling_seconds",
            "How long calls took until their last byte was handed over; a stream lasts as long as somebody listens",
            self.handling.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "How long requests of the HTTP port took, by handler, method and status",
            self.http.clone(),
        );
    }

    /// A call ended.
    pub fn handled(&self, method: Method, code: Code, took: Duration) {
        let Method { grpc_type, grpc_service, grpc_method } = method;
        let ended = Ended { grpc_type, grpc_service, grpc_method, grpc_code: word(code) };
        self.handled.get_or_create(&ended).inc();
        self.handling.get_or_create(&method).observe(took.as_secs_f64());
    }

    /// A request of the HTTP port was answered. `None`: no handler is for its path.
    pub fn requested(&self, handler: Option<&Arc<str>>, method: &http::Method, code: u16, took: Duration) {
        let is_known = [http::Method::GET, http::Method::HEAD, http::Method::POST].contains(method);
        let label = Requested {
            handler: handler.cloned().unwrap_or_else(|| Arc::from("none")),
            method: if is_known { method.as_str().to_owned() } else { "other".to_owned() },
            code,
        };
        self.http.get_or_create(&label).observe(took.as_secs_f64());
    }
}

/// As gRPC's own libraries write it in metrics.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// Promise: a method is counted under its name and as what it is; a name that somebody made up is not kept.
    #[test]
    fn methods_have_their_names() {
        let set = prost_types::FileDescriptorSet::decode(evenkeel_proto::DESCRIPTORS).unwrap();
        let mut streams = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}", file.package(), service.name());
                    let counted = Method::of(&format!("/{name}/{}", method.name()));
                    assert_eq!((counted.grpc_service, counted.grpc_method), (name.as_str(), method.name()));
                    let expected = match (method.client_streaming(), method.server_streaming()) {
                        (false, false) => "unary",
                        (true, false) => "client_stream",
                        (false, true) => "server_stream",
                        (true, true) => "bidi_stream",
                    };
                    assert_eq!(counted.grpc_type, expected, "{name}/{}", method.name());
                    streams += usize::from(expected != "unary");
                }
            }
        }
        assert_eq!(streams, 2);
        assert_eq!(Method::of("/made.up/Name"), Method::of(""));
        assert_eq!(Method::of("/made.up/Name").grpc_method, "unknown");
    }
}
