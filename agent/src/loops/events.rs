//! Following the Central API's event stream: a change of the node's state triggers a reconcile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use eventsource_stream::{EventStreamError, Eventsource};
use reqwest::Response;
use tokio_stream::StreamExt;
use tracing::debug;

use crate::agent::Node;
use crate::api::ApiError;
use crate::retry::{chain, never, until_done};
use crate::wire::Envelope;

/// The API sends a comment every 15 s. After three missing comments, the connection counts as dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// The delay between two streams, so that the agent doesn't flood an API that ends every stream.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum EndOfStream {
    #[error("the server closed the connection")]
    Closed,
    #[error("nothing was received for {LONGEST_SILENCE:?}")]
    Silent,
    #[error("the connection failed")]
    Broken(#[source] reqwest::Error),
    #[error("the stream cannot be parsed: {0}")]
    Unreadable(String),
}

/// Follows the event stream, and opens it again whenever it ends.
pub(crate) async fn run(node: Arc<Node>) {
    while let Ok(stream) = until_done("opening the event stream", &node.stop, never, || {
        open(&node)
    })
    .await
    {
        let reason = follow(&node, stream).await;
        debug!(reason = chain(&reason), "the event stream ended");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn open(node: &Node) -> Result<Response, ApiError> {
    let identity = node.registrar.identity().await;
    node.api.events(&identity).await
}

async fn follow(node: &Node, stream: Response) -> EndOfStream {
    // Comments aren't events, but they show that the connection is alive.
    let pieces = stream.bytes_stream().timeout(LONGEST_SILENCE);
    let pieces = pieces.map(|piece| match piece {
        Ok(piece) => piece.map_err(EndOfStream::Broken),
        Err(_) => Err(EndOfStream::Silent),
    });
    let mut events = pin!(pieces.eventsource());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => act(node, &event.data),
            Err(EventStreamError::Transport(end)) => return end,
            Err(error) => return EndOfStream::Unreadable(error.to_string()),
        }
    }
    EndOfStream::Closed
}

fn act(node: &Node, event: &str) {
    match serde_json::from_str::<Envelope>(event) {
        Ok(envelope) if envelope.event_type == "node_state_updated" => node.reconcile.notify_one(),
        Ok(envelope) => debug!(envelope.event_type, "ignoring an event"),
        Err(error) => debug!(
            reason = chain(&error),
            "ignoring an event that is not an envelope"
        ),
    }
}
