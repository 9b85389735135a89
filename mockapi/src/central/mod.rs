//! The Central API: the paths under `/v1`. A call is counted even if its body is invalid, except for a registration.

mod answers;
mod artifact;
mod register;
mod secrets;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::events;
use crate::routes::endpoint;
use crate::state::Shared;

/// The routes, in the order of the contract's table.
pub(crate) fn router(app: &Shared) -> Router<Shared> {
    let on = |name, method| endpoint(app, name, method);
    Router::new()
        .route("/v1/ping", on(Endpoint::Ping, get(answers::ping)))
        .route(
            "/v1/register",
            on(Endpoint::Register, post(register::register)),
        )
        .route(
            "/v1/nodes/{id}/heartbeat",
            on(Endpoint::Heartbeat, post(answers::heartbeat)),
        )
        .route(
            "/v1/nodes/{id}/state",
            on(Endpoint::State, get(answers::state)),
        )
        .route(
            "/v1/nodes/{id}/capabilities",
            on(Endpoint::Capabilities, put(accept)),
        )
        .route("/v1/nodes/{id}/drift", on(Endpoint::Drift, post(accept)))
        .route(
            "/v1/nodes/{id}/metrics",
            on(Endpoint::Metrics, post(accept)),
        )
        .route("/v1/nodes/{id}/logs", on(Endpoint::Logs, post(accept)))
        .route("/v1/nodes/{id}/audit", on(Endpoint::Audit, post(accept)))
        .route(
            "/v1/nodes/{id}/secrets/{key}",
            on(Endpoint::Secrets, get(secrets::secret)),
        )
        .route(
            "/v1/nodes/{id}/events",
            on(Endpoint::Events, get(events::node_events)),
        )
        .route(
            "/v1/nodes/{id}/metadata",
            on(Endpoint::Metadata, get(answers::metadata)),
        )
        .route(
            "/v1/nodes/{id}/deregister",
            on(Endpoint::Deregister, post(accept)),
        )
        .route(
            "/v1/keys/rotate",
            on(Endpoint::KeyRotate, post(answers::rotate)),
        )
        .route(
            "/v1/nodes/{id}/endpoint",
            on(Endpoint::Endpoint, put(answers::peer_endpoints)),
        )
        .route("/v1/nodes/{id}/report", on(Endpoint::Report, post(accept)))
        .route(
            "/v1/nodes/{id}/executions/{eid}/ack",
            on(Endpoint::ExecutionAck, post(accept)),
        )
        .route(
            "/v1/nodes/{id}/executions/{eid}/result",
            on(Endpoint::ExecutionResult, post(accept)),
        )
        .route(
            "/v1/nodes/{id}/tunnels/{sid}/ready",
            on(Endpoint::TunnelReady, post(accept)),
        )
        .route(
            "/v1/nodes/{id}/tunnels/{sid}/closed",
            on(Endpoint::TunnelClosed, post(accept)),
        )
        .route(
            "/v1/nodes/{id}/integrity/violations",
            on(Endpoint::IntegrityViolation, post(accept)),
        )
        .route(
            "/v1/artifacts/plexd/{version}/{os}/{arch}",
            on(Endpoint::Artifact, get(artifact::artifact)),
        )
}

/// Counts a call whose response has no content.
async fn accept(State(app): State<Shared>, call: Call) -> StatusCode {
    app.count(call, |_| ());
    StatusCode::NO_CONTENT
}
