//! `grpc.health.v1` in the clear, on the port for health and metrics: for probes that show no certificate, such as the
//! kubelet's. On the fleet port the same service takes peers that are known.

use tokio_stream::Empty;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::http::journal_writes;
use crate::ledger::Ledger;

/// What a probe may ask for by name: that the process turns (as `/healthz`).
const LIVENESS: &str = "liveness";
/// That it can serve and write (as `/readyz`); also what is meant without a name.
const READINESS: &str = "readiness";

/// Answers probes.
#[derive(Debug, Clone)]
pub struct Probe {
    ledger: Ledger,
}

impl Probe {
    /// Of the collector with this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    async fn status(&self, service: &str) -> Option<ServingStatus> {
        match service {
            LIVENESS => Some(ServingStatus::Serving),
            "" | READINESS => Some(match journal_writes(&self.ledger).await {
                Ok(()) => ServingStatus::Serving,
                Err(_) => ServingStatus::NotServing,
            }),
            _ => None,
        }
    }
}

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let status = self.status(&service).await;
        let status = status.ok_or_else(|| {
            Status::not_found(format!("ask for {LIVENESS}, {READINESS}, or nothing: there is no {service:?}"))
        })?;
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("a probe asks again: use Check"))
    }
}
