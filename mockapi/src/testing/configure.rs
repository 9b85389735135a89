//! The calls of the test interface that change something.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::call::Payload;
use crate::counter::Counter;
use crate::faults::ActiveFaults;
use crate::fixture::Fixture;
use crate::problem::Problem;
use crate::state::{Shared, lock};

/// The body of `POST /test/inject-event`.
#[derive(Deserialize)]
struct Injection {
    event_type: String,
    #[serde(default)]
    payload: Value,
}

pub(super) async fn inject_event(
    State(app): State<Shared>,
    payload: Payload,
) -> Result<StatusCode, Problem> {
    let injection: Injection = payload.document()?;
    // The type becomes the event's name on the stream, which must be a single line.
    if injection.event_type.is_empty() || injection.event_type.contains(char::is_control) {
        return Err(Problem::bad_request(
            "event_type must not be empty or contain control characters",
        ));
    }
    app.publish(app.signer.seal(&injection.event_type, &injection.payload));
    app.count_unowned(Counter::InjectEvent);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn state(
    State(app): State<Shared>,
    payload: Payload,
) -> Result<StatusCode, Problem> {
    app.configure_state(Fixture::configured(payload)?);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn heartbeat(
    State(app): State<Shared>,
    payload: Payload,
) -> Result<StatusCode, Problem> {
    app.configure_heartbeat(Fixture::configured(payload)?);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn faults(
    State(app): State<Shared>,
    payload: Payload,
) -> Result<StatusCode, Problem> {
    let active = ActiveFaults::new(payload.document()?)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    *lock(&app.faults) = active;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn reset(State(app): State<Shared>) -> StatusCode {
    app.reset();
    StatusCode::NO_CONTENT
}
