//! Error responses: handlers return a status and a text, and clients get an RFC 9457 problem document.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of a problem document.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The maximum length of an error's detail, in bytes.
const DETAIL_LIMIT: usize = 16 * 1024;

/// Why a call is rejected.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.detail).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The document. `type` stays `about:blank`, because clients need only the status and the title.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
}

/// Middleware: converts every error response of the router, including axum's own, into a problem document.
pub(crate) async fn to_documents(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        return document(&uri, response).await;
    }
    response
}

async fn document(uri: &Uri, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let detail = to_bytes(body, DETAIL_LIMIT).await.unwrap_or_default();
    let detail = String::from_utf8_lossy(&detail);
    tracing::info!(status = parts.status.as_u16(), path = uri.path(), %detail, "rejected a call");
    let document = Document {
        r#type: "about:blank",
        title: parts.status.canonical_reason().unwrap_or("Error"),
        status: parts.status.as_u16(),
        detail: &detail,
        instance: uri.path(),
    };
    let body = Json(document).into_response().into_body();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    Response::from_parts(parts, body)
}

/// The response for an unknown path.
pub(crate) async fn unknown_path() -> Problem {
    Problem::not_found("this path does not exist")
}

/// The response for a method that the path doesn't accept; the router adds `Allow`.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not accept the method; see the Allow header",
    )
}
