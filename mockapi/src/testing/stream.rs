//! The stream of counters. Each reader is told what changed since it was told last, worked out when it is ready to hear more:
//! a slow reader misses steps in between but no change, and costs no memory.

use std::convert::Infallible;
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

/// The least time between two events.
const PACE: Duration = Duration::from_millis(100);

/// `GET /test/assertions/stream`: every node at once, then those that changed: the first change after a quiet time at once, further
/// ones at the stream's pace. A reset ends the stream, since a reconnect starts whole again.
pub(super) async fn assertions(
    State(app): State<Shared>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let follower = Follower {
        moved: app.watch(),
        position: app.start_position(),
        last_told: None,
        app: app.clone(),
    };
    events::serve(&app, stream::unfold(follower, Follower::next))
}

/// One reader of the stream.
struct Follower {
    app: Shared,
    moved: watch::Receiver<()>,
    position: Position,
    last_told: Option<Instant>,
}

impl Follower {
    async fn next(mut self) -> Option<(Event, Self)> {
        let snapshot = match self.last_told {
            None => self.snapshot()?.1,
            Some(last_told) => self.news(last_told + PACE).await?,
        };
        self.last_told = Some(Instant::now());
        let event = Event::default().event("assertions").json_data(snapshot);
        event
            .inspect_err(|error| tracing::error!("failed to write a snapshot: {error}"))
            .ok()
            .map(|event| (event, self))
    }

    /// Waits for something that the reader does not know yet, and until `earliest`.
    async fn news(&mut self, earliest: Instant) -> Option<Snapshot> {
        loop {
            self.moved.changed().await.ok()?;
            sleep_until(earliest).await;
            let (is_news, snapshot) = self.snapshot()?;
            if is_news {
                return Some(snapshot);
            }
        }
    }

    /// What changed since the reader's position, which moves on, and whether anything did.
    fn snapshot(&mut self) -> Option<(bool, Snapshot)> {
        // What moves from here on wakes the reader again, also if this snapshot has it already.
        self.moved.mark_unchanged();
        let (position, snapshot) = self.app.snapshot(self.position)?;
        let is_news = position != self.position;
        self.position = position;
        Some((is_news, snapshot))
    }
}
