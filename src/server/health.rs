//! Liveness, readiness, metrics.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::ServerState;

/// The recorder is the process's, as the `metrics` crate has it: several servers in one process count together.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Where the buckets of every histogram end, in seconds.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 75.0];

/// Begins to count. The second time nothing happens.
pub(super) fn install_recorder() {
    RECORDER.get_or_init(|| {
        let recorder = match PrometheusBuilder::new().set_buckets(BUCKETS) {
            Ok(builder) => builder.build_recorder(),
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handle = recorder.handle();
        // An embedder's own recorder goes before ours; then `/metrics` is empty.
        let _ = metrics::set_global_recorder(recorder);
        crate::call::metrics::describe();
        super::tls::describe();
        super::limiter::describe();
        super::pace::describe();
        crate::http::describe();
        super::media::describe();
        crate::blocking::describe();
        handle
    });
}

/// Liveness
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "operation",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain")),
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operation",
    responses(
        (status = 200, description = "It takes calls", body = String, content_type = "text/plain"),
        (status = 503, description = "It is being stopped and takes no new calls, or the database cannot be read or written, without which no payment is made", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn readyz(State(state): State<ServerState>) -> (StatusCode, &'static str) {
    if state.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if state.services.payments.searches.is_shut() || !state.services.payments.store.is_writable() {
        (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be used\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

/// Metrics in Prometheus' text format
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operation",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics() -> impl IntoResponse {
    let text = RECORDER.get().map(|handle| {
        handle.run_upkeep();
        handle.render()
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.unwrap_or_default())
}
