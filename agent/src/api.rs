//! The client of the Central API: one method per call, without retries and without state.
//!
//! The caller decides whether and when to call again.

use std::time::Duration;

use reqwest::header::{CONNECTION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::Endpoint;
use crate::identity::Identity;
use crate::secret::Secret;
use crate::wire::{Capabilities, Drift, HeartbeatAnswer, Register, Registered, SealedSecret};

/// The timeout of a whole call. The event stream, which never ends, has its own timeout.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The node's desired state, by section.
pub(crate) type State = Map<String, Value>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// There was no response, or it couldn't be read.
    #[error("the call failed without a response")]
    Transport(#[from] reqwest::Error),
    /// The response was an error.
    #[error("the response was {0}")]
    Status(StatusCode),
}

impl ApiError {
    /// Whether the credential was rejected.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Status(StatusCode::UNAUTHORIZED))
    }
}

/// A client for the Central API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: Endpoint,
}

impl Api {
    /// Creates a client for the API at `base`.
    pub(crate) fn new(client: Client, base: Endpoint) -> Self {
        Self { client, base }
    }

    /// `POST /v1/register`, with the bootstrap token as bearer. The connection is closed afterwards: until the node's
    /// network routes the Service's address, another host may answer there, and it would keep answering on a connection
    /// that stays open.
    pub(crate) async fn register(
        &self,
        body: &Register<'_>,
        token: &Secret,
    ) -> Result<Registered, ApiError> {
        let call = self.client.post(self.base.join(&["v1", "register"]));
        answer(
            call.timeout(CALL_TIMEOUT)
                .bearer_auth(token.reveal())
                .header(CONNECTION, "close")
                .json(body),
        )
        .await
    }

    /// `POST /v1/nodes/{id}/heartbeat`; the body is sent unchanged.
    pub(crate) async fn heartbeat(
        &self,
        identity: &Identity,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<HeartbeatAnswer, ApiError> {
        let call = self.call(Method::POST, identity, &["heartbeat"]);
        answer(call.header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// `GET /v1/nodes/{id}/state`.
    pub(crate) async fn state(&self, identity: &Identity) -> Result<State, ApiError> {
        answer(self.call(Method::GET, identity, &["state"])).await
    }

    /// `PUT /v1/nodes/{id}/capabilities`.
    pub(crate) async fn capabilities(
        &self,
        identity: &Identity,
        body: &Capabilities,
    ) -> Result<(), ApiError> {
        self.send(Method::PUT, identity, "capabilities", body).await
    }

    /// `POST /v1/nodes/{id}/drift`.
    pub(crate) async fn drift(&self, identity: &Identity, body: &Drift) -> Result<(), ApiError> {
        self.send(Method::POST, identity, "drift", body).await
    }

    /// `POST /v1/nodes/{id}/{stream}` with a JSON array.
    pub(crate) async fn entries(
        &self,
        identity: &Identity,
        stream: &str,
        body: String,
    ) -> Result<(), ApiError> {
        let call = self.call(Method::POST, identity, &[stream]);
        accepted(call.header(CONTENT_TYPE, "application/json").body(body))
            .await
            .map(drop)
    }

    /// `GET /v1/nodes/{id}/secrets/{key}`.
    pub(crate) async fn secret(
        &self,
        identity: &Identity,
        key: &str,
    ) -> Result<SealedSecret, ApiError> {
        answer(self.call(Method::GET, identity, &["secrets", key])).await
    }

    /// `GET /v1/nodes/{id}/events`, an endless response.
    pub(crate) async fn events(&self, identity: &Identity) -> Result<Response, ApiError> {
        let url = self
            .base
            .join(&["v1", "nodes", &identity.node_id, "events"]);
        let call = self
            .client
            .get(url)
            .bearer_auth(identity.node_secret_key.reveal());
        accepted(call).await
    }

    async fn send(
        &self,
        method: Method,
        identity: &Identity,
        what: &str,
        body: &impl Serialize,
    ) -> Result<(), ApiError> {
        accepted(self.call(method, identity, &[what]).json(body))
            .await
            .map(drop)
    }

    fn call(&self, method: Method, identity: &Identity, path: &[&str]) -> RequestBuilder {
        let path = [&["v1", "nodes", &identity.node_id], path].concat();
        self.client
            .request(method, self.base.join(&path))
            .timeout(CALL_TIMEOUT)
            .bearer_auth(identity.node_secret_key.reveal())
    }
}

/// Sends a request. A response that isn't a success is an error.
pub(crate) async fn accepted(call: RequestBuilder) -> Result<Response, ApiError> {
    let response = call.send().await?;
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(ApiError::Status(response.status()))
    }
}

async fn answer<T: DeserializeOwned>(call: RequestBuilder) -> Result<T, ApiError> {
    Ok(accepted(call).await?.json().await?)
}
