//! Registration: the only call that issues a key, and the only one whose body has to be an object.

use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::problem::Problem;
use crate::state::Shared;

/// The response to `POST /v1/register`.
#[derive(Serialize)]
pub(super) struct Registration {
    node_id: String,
    mesh_ip: Ipv4Addr,
    signing_public_key: String,
    node_secret_key: String,
    peers: Vec<Value>,
}

/// `POST /v1/register`
pub(super) async fn register(
    State(app): State<Shared>,
    call: Call,
) -> Result<Json<Registration>, Problem> {
    let body: Map<String, Value> = call.payload.document()?;
    let hostname = body
        .get("hostname")
        .and_then(Value::as_str)
        .filter(|hostname| !hostname.is_empty());
    let registered = app.register(hostname, call.payload)?;
    tracing::info!(node_id = registered.node_id, hostname, "registered a node");
    Ok(Json(Registration {
        node_id: registered.node_id,
        mesh_ip: registered.mesh_ip,
        signing_public_key: app.signer.public_key(),
        node_secret_key: registered.key,
        peers: app.state().array("peers"),
    }))
}
