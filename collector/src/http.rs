//! Health and metrics, over plain HTTP on a port of their own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;
use tonic_health::pb::health_server::HealthServer;

use crate::ledger::Ledger;
use crate::metrics::{Metrics, text};
use crate::probe::Probe;
use crate::serve::Handler;
use crate::tending::Tending;
use crate::transitions::{Judged, Transitions};

/// How long the journal may take for a write before the collector counts as not ready.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Shared {
    ledger: Ledger,
    metrics: Arc<Metrics>,
    tending: Arc<Tending>,
    transitions: Transitions,
    judged: Arc<OnceLock<watch::Receiver<Option<Arc<Judged>>>>>,
}

/// `/healthz`: the process turns. `/readyz`: it can serve and write. `/grpc.health.v1.Health/Check`: both, over gRPC.
/// `/metrics`: for Prometheus; from the first scrape on the fleet is judged for them.
pub fn routes(
    ledger: Ledger,
    metrics: Arc<Metrics>,
    tending: Arc<Tending>,
    transitions: Transitions,
) -> Router {
    let judged = Arc::new(OnceLock::new());
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route_service("/grpc.health.v1.Health/{call}", HealthServer::new(Probe::new(ledger.clone())))
        .layer(middleware::from_fn(named))
        .with_state(Shared { ledger, metrics, tending, transitions, judged })
}

/// Tells behind the answer which handler it comes from.
async fn named(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Handler(Arc::from(path.as_str())));
    }
    response
}

/// Whether the journal takes a write; the error is a sentence.
pub(crate) async fn journal_writes(ledger: &Ledger) -> Result<(), String> {
    match tokio::time::timeout(WRITE_DEADLINE, ledger.probe()).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no write within {} s", WRITE_DEADLINE.as_secs())),
    }
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let journal = journal_writes(&shared.ledger).await;
    let ready = journal.is_ok();
    let journal = journal.err().unwrap_or_else(|| "ok".to_owned());
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // New files that are of no use are said; what is in service serves.
    let certificates = shared.tending.fault().unwrap_or_else(|| "ok".to_owned());
    let position = shared.ledger.state().journal;
    let body =
        json!({ "ready": ready, "journal": journal, "certificates": certificates, "position": position });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn scrape(State(shared): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    // Who holds it is why the fleet is judged.
    let judged = shared.judged.get_or_init(|| shared.transitions.judged()).borrow().clone();
    let open_metrics = shared.metrics.text(&shared.ledger.state(), judged.as_deref());
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.into_iter().any(|value| value.contains(text::OPEN_METRICS)) {
        ([(header::CONTENT_TYPE, text::OPEN_METRICS_TYPE)], open_metrics)
    } else {
        ([(header::CONTENT_TYPE, text::CLASSIC_TYPE)], text::classic(&open_metrics))
    }
}
