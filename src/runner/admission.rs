//! How many cells run at once: as many as the machine carries, each weighing by its nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::machine::probe;
use crate::matrix::{Cell, Jobs};

/// What a node of a real cluster takes in memory while it comes up, in bytes, rounded up from what was measured (400 MB a control plane).
const MEMORY_OF_NODE: u64 = 768 << 20;
/// Cells of plain processes that one processor carries: they wait more than they work.
const PROCESSES_PER_CPU: usize = 8;

/// Lets cells in.
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    capacity: usize,
    weighted: bool,
    running: Arc<AtomicUsize>,
}

/// The room of one cell, until it is dropped.
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    running: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// An admission for `cells` cells by `jobs`; `clusters`: whether each is a real cluster.
    pub(super) fn new(jobs: Jobs, cells: usize, clusters: bool) -> Self {
        let (capacity, weighted) = match jobs {
            Jobs::Exactly(jobs) => (jobs.get(), false),
            Jobs::Auto if clusters => (carried(), true),
            Jobs::Auto => (probe::cpus() * PROCESSES_PER_CPU, false),
        };
        let capacity = if weighted {
            capacity
        } else {
            capacity.min(cells)
        }
        .max(1);
        Self {
            permits: Arc::new(Semaphore::new(capacity)),
            capacity,
            weighted,
            running: Arc::default(),
        }
    }

    /// How many cells of one node run at once.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many cells run now.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Waits for the turn of `place`, then until there is room for `cell`.
    pub(super) async fn admit(&self, place: Place, cell: &Cell) -> Option<Room> {
        // Closed without a word: that is the message.
        drop(place.turn.await);
        let room = self.admit_again(cell).await;
        drop(place.next);
        room
    }

    /// Waits until there is room for `cell`, which has had its turn.
    pub(super) async fn admit_again(&self, cell: &Cell) -> Option<Room> {
        let weight = if self.weighted {
            weight(cell.nodes.get())
        } else {
            1
        };
        let weight = u32::try_from(weight.min(self.capacity)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.permits).acquire_many_owned(weight).await;
        self.running.fetch_add(1, Ordering::Relaxed);
        // Closed only with its last holder.
        Some(Room {
            _permit: permit.ok()?,
            running: Arc::clone(&self.running),
        })
    }
}

/// A place in the order of admission. Its turn comes when the one before was let in, or is gone.
pub(super) struct Place {
    turn: oneshot::Receiver<()>,
    next: oneshot::Sender<()>,
}

/// Places, each after the one before: cells begin in their order, whichever task is the first to run.
pub(super) fn places() -> impl Iterator<Item = Place> {
    let (_, mut turn) = oneshot::channel();
    std::iter::repeat_with(move || {
        let (next, following) = oneshot::channel();
        let turn = std::mem::replace(&mut turn, following);
        Place { turn, next }
    })
}

/// A worker is about half the work of a control plane.
fn weight(nodes: usize) -> usize {
    1 + (nodes - 1) / 2
}

/// Two control planes a processor keep it busy without starving each other, as long as there is memory for them.
fn carried() -> usize {
    let by_memory = probe::memory().map_or(1, |memory| memory.available / MEMORY_OF_NODE);
    let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX);
    (probe::cpus() * 2).min(by_memory).max(1)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::matrix::Matrix;

    #[test]
    fn workers_weigh_half() {
        assert_eq!([1, 2, 3, 5].map(weight), [1, 1, 2, 3]);
    }

    #[tokio::test]
    async fn whoever_comes_first_the_order_of_places_is_kept() {
        let text = "[matrix]\nkubernetes = [\"1.36\"]\n";
        let matrix = Matrix::parse("matrix.toml", text).unwrap();
        let cell = &matrix.cells[0];
        let admission = Admission::new(Jobs::Exactly(std::num::NonZeroUsize::MIN), 2, false);
        let mut places = places();
        let (first, second) = (places.next().unwrap(), places.next().unwrap());
        let mut second = std::pin::pin!(admission.admit(second, cell));
        assert!(second.as_mut().now_or_never().is_none());
        let room = admission.admit(first, cell).await;
        assert!(second.as_mut().now_or_never().is_none(), "there is no room");
        drop(room);
        assert!(second.await.is_some());
    }

    #[test]
    fn jobs_that_are_asked_for_are_cells() {
        let two = std::num::NonZeroUsize::new(2).unwrap();
        assert_eq!(Admission::new(Jobs::Exactly(two), 9, true).capacity(), 2);
        assert_eq!(Admission::new(Jobs::Exactly(two), 1, true).capacity(), 1);
    }
}
