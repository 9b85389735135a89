//! Faults of the mock itself, for tests of its clients: the document of `POST /test/faults`.
//!
//! ```json
//! {
//!   "auth": "strict",
//!   "endpoints": {
//!     "heartbeat": {"status": 503, "delay": "200ms", "times": 3},
//!     "register": {"drop": true, "counted": true, "times": 1}
//!   }
//! }
//! ```
//!
//! A document replaces the previous one; `{}` and `POST /test/reset` turn all faults off. The names of endpoints are
//! those of [`Endpoint`]; the fields are described at [`Fault`]. An invalid document is rejected with 400 and changes
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum_server::ConnectionShutdown;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::state::{Shared, lock};

/// The document of `POST /test/faults`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Whether bearer tokens are checked.
    pub auth: Auth,
    /// One fault per endpoint.
    pub endpoints: BTreeMap<Endpoint, Fault>,
}

/// Whether calls on a node's path need a key of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Every call is accepted.
    #[default]
    Off,
    /// A call on `/v1/nodes/{id}/…` without a known key of the node, or a key rotation without any known key, gets 401
    /// and isn't counted.
    Strict,
}

/// The fault of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The status that replaces the usual status of the response, from 200 to 599.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the call is delayed before it is handled, such as `"200ms"` or `"2s"`. A call that is aborted in the
    /// meantime isn't counted.
    #[serde(
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// Whether the connection is closed without a response. Mutually exclusive with `status`.
    pub drop: bool,
    /// Whether a call with `status` or `drop` is handled and counted anyway, so that only the response is lost.
    pub counted: bool,
    /// How many calls the fault affects; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// A fault is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("{0}: `status` and `drop` are mutually exclusive")]
    StatusAndDrop(Endpoint),
    #[error("{0}: the status must be from 200 to 599, not {1}")]
    Status(Endpoint, u16),
}

/// The active faults.
#[derive(Default)]
pub(crate) struct ActiveFaults {
    auth: Auth,
    endpoints: BTreeMap<Endpoint, ActiveFault>,
}

#[derive(Clone, Copy)]
struct ActiveFault {
    effect: Effect,
    left: Option<u64>,
}

/// The effect of a fault on one call.
#[derive(Clone, Copy)]
struct Effect {
    delay: Duration,
    replacement: Option<Replacement>,
    counted: bool,
}

/// The replacement for the usual response.
#[derive(Clone, Copy)]
enum Replacement {
    Status(StatusCode),
    Drop,
}

impl ActiveFaults {
    /// Activates the faults of a document.
    pub(crate) fn new(faults: Faults) -> Result<Self, FaultError> {
        let endpoints = faults
            .endpoints
            .into_iter()
            .map(|(endpoint, fault)| Ok((endpoint, fault.activate(endpoint)?)));
        Ok(Self {
            auth: faults.auth,
            endpoints: endpoints.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.auth == Auth::Strict
    }

    /// The effect of a fault on the next call of `endpoint`; `None` if no fault applies to it.
    fn next(&mut self, endpoint: Endpoint) -> Option<Effect> {
        let fault = self.endpoints.get_mut(&endpoint)?;
        if let Some(left) = &mut fault.left {
            *left = left.checked_sub(1)?;
        }
        Some(fault.effect)
    }
}

impl Fault {
    fn activate(self, endpoint: Endpoint) -> Result<ActiveFault, FaultError> {
        let replacement = match (self.status, self.drop) {
            (Some(_), true) => return Err(FaultError::StatusAndDrop(endpoint)),
            (Some(status), false) => Some(Replacement::Status(final_status(endpoint, status)?)),
            (None, true) => Some(Replacement::Drop),
            (None, false) => None,
        };
        let effect = Effect {
            delay: self.delay.unwrap_or_default(),
            replacement,
            counted: self.counted,
        };
        Ok(ActiveFault {
            effect,
            left: self.times,
        })
    }
}

fn final_status(endpoint: Endpoint, status: u16) -> Result<StatusCode, FaultError> {
    let code = StatusCode::from_u16(status)
        .ok()
        .filter(|_| (200..600).contains(&status));
    code.ok_or(FaultError::Status(endpoint, status))
}

/// Middleware of every endpoint: applies the active fault to a call.
pub(crate) async fn apply(
    State(app): State<Shared>,
    Extension(endpoint): Extension<Endpoint>,
    Extension(connection): Extension<ConnectionShutdown>,
    request: Request,
    next: Next,
) -> Response {
    let Some(effect) = lock(&app.faults).next(endpoint) else {
        return next.run(request).await;
    };
    tracing::info!(%endpoint, "applying a fault to a call");
    tokio::time::sleep(effect.delay).await;
    match effect.replacement {
        None => next.run(request).await,
        Some(replacement) => {
            if effect.counted {
                drop(next.run(request).await);
            }
            replacement.answer(&connection).await
        }
    }
}

impl Replacement {
    async fn answer(self, connection: &ConnectionShutdown) -> Response {
        match self {
            Self::Status(status) => Problem::new(status, "a configured fault").into_response(),
            Self::Drop => {
                connection.shutdown();
                // Never resolves: the connection is closed without a response.
                std::future::pending().await
            }
        }
    }
}
