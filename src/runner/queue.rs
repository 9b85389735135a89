//! Queues: cells that use the same cluster run one after another. Each cell takes over the admission of the previous
//! one, because the cluster needs the same resources. A cell that waits in its queue isn't admitted yet, so it delays
//! no other cell. A cell with its own cluster is alone in its queue.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::admission::{Admission, AdmissionGuard, Position};
use crate::machine::budget::Need;
use crate::matrix::CellId;

/// The cells that use one cluster, in order. A queue is dropped with its last cell.
#[derive(Default)]
pub(super) struct Queue {
    /// The turn, and the admission that the previous cell passed on.
    turn: Arc<Mutex<Option<AdmissionGuard>>>,
    /// Held by the cell that is next. Only that cell shows that it waits, because a queue may be long.
    front: Mutex<()>,
}

/// A cell's turn in its queue, until it is dropped.
pub(super) type Turn = OwnedMutexGuard<Option<AdmissionGuard>>;

/// Waits for the turn of `position`, then for the cell's turn in its queue, then for admission.
pub(super) async fn admit(
    admission: &Admission,
    queue: &Queue,
    position: Position,
    cell: &CellId,
    need: &Need,
) -> (Turn, AdmissionGuard) {
    let mut next = Some(position.reached().await);
    let mut turn = if let Ok(turn) = Arc::clone(&queue.turn).try_lock_owned() {
        turn
    } else {
        drop(next.take());
        let _front = queue.front.lock().await;
        let text = "waiting for its cluster, which another cell is using";
        admission.report_waiting(cell, text.to_owned());
        Arc::clone(&queue.turn).lock_owned().await
    };
    let guard = match turn.take() {
        Some(guard) => guard,
        None => admission.acquire(cell, need).await,
    };
    drop(next);
    (turn, guard)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use futures::FutureExt;

    use super::super::admission::positions;
    use super::super::admission::tests::{cell, waits};
    use super::*;
    use crate::event::Emitter;
    use crate::machine::StateFolder;
    use crate::matrix::{Jobs, PortRange};

    #[tokio::test]
    async fn a_cell_that_waits_in_its_queue_delays_no_other() {
        let cell = &cell();
        let need = Need::default();
        let two = Jobs::Exactly(NonZeroUsize::new(2).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let (events, mut messages) = Emitter::new();
        let admission = Admission::new(two, &PortRange::Any, &state, events);
        let queue = Queue::default();
        let mut positions = positions();
        let mut position = || positions.next().unwrap();
        let (mut turn, guard) = admit(&admission, &queue, position(), cell, &need).await;
        let mut second = std::pin::pin!(admit(&admission, &queue, position(), cell, &need));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "the cluster is in use"
        );
        // A cell of another queue, later in the order, is admitted.
        let other = admit(&admission, &Queue::default(), position(), cell, &need).await;
        assert_eq!(admission.running(), 2);
        let mut third = std::pin::pin!(admit(&admission, &queue, position(), cell, &need));
        assert!(
            third.as_mut().now_or_never().is_none(),
            "it is third in the queue"
        );
        let shown = ["waiting for its cluster, which another cell is using"];
        assert_eq!(waits(&mut messages), shown, "only the next one shows it");
        // The next cell in the queue takes over the admission of the first cell.
        *turn = Some(guard);
        drop(turn);
        let second = second.await;
        assert_eq!(admission.running(), 2);
        assert!(
            third.as_mut().now_or_never().is_none(),
            "its turn has not come"
        );
        assert_eq!(waits(&mut messages), shown);
        drop((second, other));
        drop(third.await);
        assert_eq!(admission.running(), 0);
    }
}
