//! Server-sent event streams: their common parts, and the stream of node events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio_stream::wrappers::BroadcastStream;

use crate::call::Caller;
use crate::state::{App, Shared};

/// The longest silence on a stream, after which a keep-alive comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /v1/nodes/{id}/events`: a `node_state_updated` immediately, followed by injected events. A slow reader loses
/// the oldest events, because the mock's memory is bounded.
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

/// Serves a stream until its reader disconnects or the mock shuts down.
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

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_is_kept_alive_and_ends_with_the_mock() {
        let app = App::new(CancellationToken::new()).unwrap();
        let response = serve(&app, stream::pending()).into_response();
        let mut chunks = response.into_body().into_data_stream();
        let start = Instant::now();
        for _ in 0..2 {
            assert_eq!(chunks.next().await.unwrap().unwrap(), ": keep-alive\n\n");
        }
        assert_eq!(start.elapsed().as_secs(), 30);
        app.ending.cancel();
        assert!(chunks.next().await.is_none());
    }
}
