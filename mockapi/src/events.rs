//! Server-sent event streams: what they have in common, and the one of node events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio_stream::wrappers::BroadcastStream;

use crate::call::Caller;
use crate::state::{App, Shared};

/// How long a stream stays silent at most.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /v1/nodes/{id}/events`: a `node_state_updated` at once, then what is injected. Who reads too slowly loses the oldest
/// events, not the mock its memory.
pub(crate) async fn node_events(
    State(app): State<Shared>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let injected =
        BroadcastStream::new(app.subscribe()).filter_map(|envelope| async { envelope.ok() });
    let first = app
        .signer
        .seal("node_state_updated", &json!({"node_id": caller.node}));
    let envelopes = stream::iter([first]).chain(injected);
    serve(&app, envelopes.map(Event::from))
}

/// Serves a stream until its reader leaves or the mock ends.
pub(crate) fn serve<S>(
    app: &App,
    events: S,
) -> Sse<KeepAliveStream<impl Stream<Item = Result<Event, Infallible>> + use<S>>>
where
    S: Stream<Item = Event> + Send + 'static,
{
    let events = events
        .take_until(app.ending.clone().cancelled_owned())
        .map(Ok);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive"))
}
