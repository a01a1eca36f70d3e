//! Health and metrics, over plain HTTP on a port of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::tending::Tending;

/// How long the journal may take for a write before the collector counts as not ready.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Shared {
    ledger: Ledger,
    metrics: Arc<Metrics>,
    tending: Arc<Tending>,
}

/// `/healthz`: the process turns. `/readyz`: it can serve and write. `/metrics`: for Prometheus.
pub fn routes(ledger: Ledger, metrics: Arc<Metrics>, tending: Arc<Tending>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Shared { ledger, metrics, tending })
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let journal = match tokio::time::timeout(WRITE_DEADLINE, shared.ledger.probe()).await {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no write within {} s", WRITE_DEADLINE.as_secs()),
    };
    let ready = journal == "ok";
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // New files that are of no use are said; what is in service serves.
    let certificates = shared.tending.fault().unwrap_or_else(|| "ok".to_owned());
    let position = shared.ledger.state().journal;
    let body =
        json!({ "ready": ready, "journal": journal, "certificates": certificates, "position": position });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    let text = shared.metrics.text(&shared.ledger.state());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
