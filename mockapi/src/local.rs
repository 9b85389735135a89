//! The local endpoint, over TLS: accepts posts from nodes that present their decrypted token.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Extension, Router};

use crate::call::{Payload, bearer};
use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::routes::endpoint;
use crate::state::Shared;

pub(crate) fn router(app: &Shared) -> Router<Shared> {
    let on = |name| endpoint(app, name, post(deliver));
    Router::new()
        .route("/local/metrics", on(Endpoint::LocalMetrics))
        .route("/local/logs", on(Endpoint::LocalLogs))
        .route("/local/audit", on(Endpoint::LocalAudit))
}

async fn deliver(
    State(app): State<Shared>,
    Extension(endpoint): Extension<Endpoint>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<StatusCode, Problem> {
    let token =
        bearer(&headers).ok_or_else(|| Problem::unauthorized("the call has no bearer token"))?;
    app.count_local(endpoint, token, payload)?;
    Ok(StatusCode::NO_CONTENT)
}
