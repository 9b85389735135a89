//! A call as its handler sees it: the endpoint, the caller, and the unchanged body. Doesn't check bodies.

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::state::Shared;

/// The largest accepted body, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// How much of a body that is too large is read anyway, in bytes: a client that is still sending when its connection
/// closes may not see the response.
const DRAIN_LIMIT: usize = 16 * BODY_LIMIT;

/// An unchanged body with its content type.
pub(crate) struct Payload {
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) bytes: Bytes,
}

impl Payload {
    /// Parses the body as the JSON document that the test interface expects.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Problem::bad_request(format!("the body is invalid: {error}")))
    }

    /// The `timestamp` of each `process_start` entry in an audit batch. Other entries are ignored.
    pub(crate) fn process_starts(&self) -> Vec<Timestamp> {
        let entries: Vec<Value> = serde_json::from_slice(&self.bytes).unwrap_or_default();
        let starts = entries
            .iter()
            .filter(|entry| entry["event_type"] == "process_start");
        starts
            .filter_map(|entry| entry["timestamp"].as_str()?.parse().ok())
            .collect()
    }
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = read(request.into_body()).await?;
        Ok(Self {
            content_type,
            bytes,
        })
    }
}

/// Copies a body into its own memory. A slice would keep the read buffer of its connection alive, and one body is kept
/// per node and endpoint.
async fn read(body: Body) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut size = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body is incomplete"))?;
        size += chunk.len();
        if size <= BODY_LIMIT {
            bytes.extend_from_slice(&chunk);
        } else if size > DRAIN_LIMIT {
            break;
        }
    }
    if size > BODY_LIMIT {
        let detail = format!("a body can have at most {BODY_LIMIT} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(Bytes::from(bytes))
}

/// The caller of the Central API: its credential, and the node in the path. With `auth: strict`, a call on a node's
/// path gets here only with a key of that node.
pub(crate) struct Caller {
    pub(crate) endpoint: Endpoint,
    pub(crate) bearer: Option<String>,
    pub(crate) node: Option<String>,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Response> {
        let Extension(endpoint) = Extension::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        let node = params
            .iter()
            .find(|(name, _)| *name == "id")
            .map(|(_, id)| id.to_owned());
        let caller = Self {
            endpoint,
            bearer: bearer(&parts.headers).map(str::to_owned),
            node,
        };
        app.admit(&caller).map_err(IntoResponse::into_response)?;
        Ok(caller)
    }
}

/// The token of `Authorization: Bearer <token>`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A call of the Central API, read completely.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) payload: Payload,
}

impl FromRequest<Shared> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let payload = Payload::from_request(request, app)
            .await
            .map_err(IntoResponse::into_response)?;
        Ok(Self { caller, payload })
    }
}
