//! Following the Central API's event stream: a change of the node's state triggers a reconcile.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use tracing::debug;

use crate::agent::Node;
use crate::api::ApiError;
use crate::retry::{chain, never, until_done};
use crate::sse::{Parser, TooLong};
use crate::wire::Envelope;

/// The API sends a comment every 15 s; after three missing ones, the connection is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// The delay between two streams, so that an API that ends every stream isn't flooded.
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
    #[error("the stream cannot be parsed")]
    Unreadable(#[from] TooLong),
}

/// Follows one stream after another.
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

async fn follow(node: &Node, mut stream: Response) -> EndOfStream {
    let mut parser = Parser::default();
    loop {
        let piece = match tokio::time::timeout(LONGEST_SILENCE, stream.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return EndOfStream::Closed,
            Ok(Err(error)) => return EndOfStream::Broken(error),
            Err(_) => return EndOfStream::Silent,
        };
        match parser.feed(&piece) {
            Ok(events) => events.iter().for_each(|event| act(node, event)),
            Err(error) => return error.into(),
        }
    }
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
