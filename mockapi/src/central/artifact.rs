//! Artifact downloads, which don't count for a node.

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::call::Payload;
use crate::counter::Counter;
use crate::state::Shared;

/// `GET /v1/artifacts/plexd/{version}/{os}/{arch}`: some bytes, always the same for the same path.
pub(super) async fn artifact(
    State(app): State<Shared>,
    Path((version, os, arch)): Path<(String, String, String)>,
    _: Payload,
) -> impl IntoResponse {
    app.count_unowned(Counter::Artifact);
    (
        [(CONTENT_TYPE, "application/octet-stream")],
        format!("plexd {version} for {os}/{arch}\n"),
    )
}
