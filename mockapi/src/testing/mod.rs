//! The test interface: queries for the runner, and configuration. Of its calls, only injected events are counted.

mod configure;
mod stream;

use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::state::Shared;
use crate::view::{LastRequests, Nodes, Totals};

/// How much of the test interface the mock offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Interface {
    /// All endpoints
    #[default]
    Full,
    /// `assertions`, `assertions/nodes` and `last-request`
    Nodes,
    /// `assertions` and `last-request`
    Totals,
}

pub(crate) fn router(interface: Interface) -> Router<Shared> {
    let mut router = Router::new()
        .route("/test/assertions", get(assertions))
        .route("/test/last-request/{endpoint}", get(last_request));
    if interface != Interface::Totals {
        router = router.route("/test/assertions/nodes", get(nodes));
    }
    if interface == Interface::Full {
        router = router
            .route("/test/assertions/stream", get(stream::assertions))
            .route("/test/last-requests/{endpoint}", get(last_requests));
    }
    router
        .route("/test/inject-event", post(configure::inject_event))
        .route("/test/configure-state", post(configure::state))
        .route("/test/configure-heartbeat", post(configure::heartbeat))
        .route("/test/faults", post(configure::faults))
        .route("/test/reset", post(configure::reset))
        .route("/healthz", get(healthy))
        .route("/readyz", get(healthy))
}

async fn assertions(State(app): State<Shared>) -> Json<Totals> {
    Json(app.totals())
}

async fn nodes(State(app): State<Shared>) -> Json<Nodes> {
    Json(app.nodes())
}

#[derive(Deserialize)]
struct LastRequest {
    node: Option<String>,
}

/// The last accepted body, byte for byte. A body without a content type is sent as `application/octet-stream`.
async fn last_request(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<LastRequest>,
) -> Result<impl IntoResponse, Problem> {
    let endpoint = endpoint_named(&name)?;
    let body = app.last_body(endpoint, query.node.as_deref());
    let body =
        body.ok_or_else(|| Problem::not_found(format!("{endpoint} has received no call")))?;
    let octets = HeaderValue::from_static("application/octet-stream");
    let content_type = body.content_type.clone().unwrap_or(octets);
    Ok((
        HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
        body.bytes.clone(),
    ))
}

/// The last accepted body of each node that sent one.
async fn last_requests(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<LastRequests>, Problem> {
    Ok(Json(app.last_bodies(endpoint_named(&name)?)))
}

fn endpoint_named(endpoint: &str) -> Result<Endpoint, Problem> {
    Endpoint::from_name(endpoint)
        .ok_or_else(|| Problem::not_found(format!("the endpoint {endpoint} does not exist")))
}

/// Both listeners are bound before anything is served, so a response means that both are up.
async fn healthy() -> &'static str {
    "ok\n"
}
