//! The stream of counters. Each reader gets the changes since its last event, which are computed when the reader is
//! ready for more: a slow reader misses intermediate values but no change, and costs no memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::events;
use crate::registry::Position;
use crate::state::Shared;
use crate::view::Snapshot;

/// The minimum time between two events.
const PACE: Duration = Duration::from_millis(100);

/// `GET /test/assertions/stream`: first all nodes, and then the nodes that changed. The first change after a quiet
/// period is sent immediately, and later changes after the minimum time. A reset ends the stream, because a new
/// connection starts with all nodes.
pub(super) async fn assertions(
    State(app): State<Shared>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    events::serve(&app, follow(&app))
}

/// The events that a new reader gets.
fn follow(app: &Shared) -> impl Stream<Item = Event> + use<> {
    let follower = Follower {
        changes: app.watch(),
        position: app.start_position(),
        last_sent: None,
        app: Arc::clone(app),
    };
    stream::unfold(follower, Follower::next)
}

/// A reader of the stream.
struct Follower {
    app: Shared,
    changes: watch::Receiver<()>,
    position: Position,
    last_sent: Option<Instant>,
}

impl Follower {
    async fn next(mut self) -> Option<(Event, Self)> {
        let snapshot = match self.last_sent {
            None => self.snapshot()?.1,
            Some(last_sent) => self.next_change(last_sent + PACE).await?,
        };
        self.last_sent = Some(Instant::now());
        let event = Event::default().event("assertions").json_data(snapshot);
        event
            .inspect_err(|error| tracing::error!("failed to write a snapshot: {error}"))
            .ok()
            .map(|event| (event, self))
    }

    /// Waits for a change that the reader doesn't know yet, and at least until `earliest`.
    async fn next_change(&mut self, earliest: Instant) -> Option<Snapshot> {
        loop {
            self.changes.changed().await.ok()?;
            sleep_until(earliest).await;
            let (has_changed, snapshot) = self.snapshot()?;
            if has_changed {
                return Some(snapshot);
            }
        }
    }

    /// Advances the reader's position. Returns the changes since the previous position, and whether there are any.
    /// `None` after a reset.
    fn snapshot(&mut self) -> Option<(bool, Snapshot)> {
        // Later changes notify the reader again, even if this snapshot already contains them.
        self.changes.mark_unchanged();
        let (position, snapshot) = self.app.snapshot(self.position)?;
        let has_changed = position != self.position;
        self.position = position;
        Some((has_changed, snapshot))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt as _;
    use futures::stream::BoxStream;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::call::Payload;
    use crate::counter::Counter;
    use crate::endpoint::Endpoint;
    use crate::state::App;

    /// A mock's state, and a reader of its counters that has received the first event.
    async fn reader() -> (Shared, BoxStream<'static, Event>) {
        let app = Arc::new(App::new(CancellationToken::new()).unwrap());
        let mut events = follow(&app).boxed();
        assert!(
            events.next().await.is_some(),
            "the first event is sent without any change"
        );
        (app, events)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_after_a_quiet_period_is_sent_at_once_and_the_next_after_the_minimum_time()
     {
        let (app, mut events) = reader().await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let start = Instant::now();
        for expected in [Duration::ZERO, PACE, 2 * PACE] {
            app.count_unowned(Counter::Artifact);
            assert!(events.next().await.is_some());
            assert_eq!(start.elapsed().as_millis(), expected.as_millis());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_is_one_event() {
        let (app, mut events) = reader().await;
        for _ in 0..1000 {
            app.count_unowned(Counter::Artifact);
        }
        assert!(events.next().await.is_some());
        let quiet = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
        assert!(quiet.is_err(), "all changes were in one event");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_post_causes_no_event() {
        let (app, mut events) = reader().await;
        let payload = Payload {
            content_type: None,
            bytes: Bytes::new(),
        };
        assert!(
            app.count_local(Endpoint::LocalLogs, "unknown", payload)
                .is_err()
        );
        let quiet = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
        assert!(quiet.is_err(), "no counter changed");
    }
}
