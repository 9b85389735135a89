//! The endpoints whose responses come from the fixtures.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::fixture::Fixture;
use crate::state::Shared;

/// `GET /v1/ping`
pub(super) async fn ping() -> Json<Value> {
    Json(json!({}))
}

/// `POST /v1/nodes/{id}/heartbeat`
pub(super) async fn heartbeat(State(app): State<Shared>, call: Call) -> impl IntoResponse {
    app.count(call, |_| ());
    fixture_response(&app.heartbeat())
}

/// `GET /v1/nodes/{id}/state`
pub(super) async fn state(State(app): State<Shared>, call: Call) -> impl IntoResponse {
    app.count(call, |_| ());
    fixture_response(&app.state())
}

/// `GET /v1/nodes/{id}/metadata`: the metadata in the state.
pub(super) async fn metadata(State(app): State<Shared>, call: Call) -> Json<Map<String, Value>> {
    app.count(call, |_| ());
    Json(app.state().map("metadata"))
}

/// `POST /v1/keys/rotate`: returns the peers in the state, which have to know the new key. The path names no node, so a
/// call without a known key counts for the node that its body names.
pub(super) async fn rotate(State(app): State<Shared>, mut call: Call) -> Json<Value> {
    let body = call.payload.document::<Value>().unwrap_or_default();
    call.caller.node = body["node_id"]
        .as_str()
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    app.count(call, |_| ());
    Json(json!({"updated_peers": app.state().array("peers")}))
}

/// `PUT /v1/nodes/{id}/endpoint`: returns the endpoints of the peers in the state.
pub(super) async fn peer_endpoints(State(app): State<Shared>, call: Call) -> Json<Value> {
    app.count(call, |_| ());
    let peers = app.state().array("peers");
    let endpoints: Vec<_> = peers
        .iter()
        .map(|peer| json!({"peer_id": peer["id"], "endpoint": peer["endpoint"]}))
        .collect();
    Json(json!({"peer_endpoints": endpoints}))
}

fn fixture_response(fixture: &Fixture) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "application/json")], fixture.text())
}
