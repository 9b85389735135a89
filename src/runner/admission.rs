//! How many cells run at once: as many as the machine carries, each weighing by its nodes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
        }
    }

    /// How many cells of one node run at once.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits until there is room for `cell`; first come, first served. The room is its own until the permit is dropped.
    pub(super) async fn admit(&self, cell: &Cell) -> Option<OwnedSemaphorePermit> {
        let weight = if self.weighted {
            weight(cell.nodes.get())
        } else {
            1
        };
        let weight = u32::try_from(weight.min(self.capacity)).unwrap_or(u32::MAX);
        // Closed only with its last holder.
        Arc::clone(&self.permits)
            .acquire_many_owned(weight)
            .await
            .ok()
    }
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
    use super::*;

    #[test]
    fn workers_weigh_half() {
        assert_eq!([1, 2, 3, 5].map(weight), [1, 1, 2, 3]);
    }

    #[test]
    fn jobs_that_are_asked_for_are_cells() {
        let two = std::num::NonZeroUsize::new(2).unwrap();
        assert_eq!(Admission::new(Jobs::Exactly(two), 9, true).capacity(), 2);
        assert_eq!(Admission::new(Jobs::Exactly(two), 1, true).capacity(), 1);
    }
}
