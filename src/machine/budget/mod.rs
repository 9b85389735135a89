//! The machine's budget: how many cells run at once, across all processes of the user.
//!
//! The budget is a pool of slots. Each slot is a lock that the kernel releases when its holder ends. Only one cell at a
//! time collects slots, so cells are admitted in order of arrival, a heavy cell is never passed over indefinitely, and
//! two cells can't block each other while each holds only some of its slots. A few slots are reserved for light cells;
//! if one of these is free, a light cell doesn't wait for its turn. Before a cell is admitted, the machine's load and
//! memory are checked, and a shortage delays the cell. If no other cell is running, a cell is admitted despite a
//! shortage.
//!
//! Starting a cluster takes far more resources than running it, so a cell returns some of its slots when its agents are
//! ready.

mod shortage;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Lock, LockError, StateFolder, probe};
pub use shortage::{Need, Shortage, Vitals};
use shortage::{measure, shortage};

/// Slots per processor. A cell of plain processes takes one slot, because it mostly waits.
const SLOTS_PER_CPU: usize = 8;
/// The slots of a real cluster's control plane; a worker takes half as many. Two control planes per processor keep the
/// processor busy without starving each other.
pub const SLOTS_OF_CONTROL_PLANE: usize = 4;
/// Extra slots for cells that need only one slot, so that these cells don't wait for clusters.
pub const RESERVED: usize = 2;
/// The memory that a control plane takes while it starts, in bytes: 400 MB as measured, plus a margin.
pub const MEMORY_OF_CONTROL_PLANE: u64 = 768 << 20;

/// How long a cell may take to allocate the memory that it was admitted for.
const RAMP: Duration = Duration::from_secs(30);
/// How often to check for free slots. Other processes don't announce that they release a slot.
const POLL_SLOTS: Duration = Duration::from_millis(200);
/// How often to check whether a shortage of memory, processors or inotify instances is over. This check costs more than
/// the one for slots, and such a shortage lasts longer.
const POLL_MACHINE: Duration = Duration::from_secs(1);

/// Measures the machine for a cell with the given need.
type Gauge = dyn Fn(&Need) -> Vitals + Send + Sync;

/// The budget of a machine.
pub struct Budget {
    state: StateFolder,
    total: usize,
    gauge: Arc<Gauge>,
    reservations: Mutex<Vec<Reservation>>,
    returned: Arc<Notify>,
}

/// A share of the budget, held until it is dropped.
#[derive(Debug)]
pub struct Share {
    /// The locks of the slots, by slot number.
    slots: BTreeMap<usize, Lock>,
    /// How many slots the share keeps when it shrinks.
    when_ready: usize,
    alive: Arc<()>,
    returned: Arc<Notify>,
}

/// Memory that was reserved for an admitted cell, which may not have allocated it yet.
struct Reservation {
    bytes: u64,
    since: Instant,
    cell: Weak<()>,
}

impl Share {
    /// Returns the slots that the cell doesn't need once its agents are ready.
    pub fn shrink(&mut self) {
        while self.slots.len() > self.when_ready {
            self.slots.pop_last();
        }
        self.returned.notify_waiters();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.slots.clear();
        self.returned.notify_waiters();
    }
}

impl Budget {
    /// The budget of this machine.
    pub fn of_machine(state: &StateFolder) -> Self {
        let memory = probe::memory().map(|memory| memory.total);
        Self::new(state, slots(probe::cpus(), memory), Arc::new(measure))
    }

    fn new(state: &StateFolder, total: usize, gauge: Arc<Gauge>) -> Self {
        Self {
            state: state.clone(),
            total,
            gauge,
            reservations: Mutex::new(Vec::new()),
            returned: Arc::new(Notify::new()),
        }
    }

    /// How many cells with this need run at once on an otherwise idle machine.
    pub fn carries(&self, need: &Need) -> usize {
        (self.total / need.slots.max(1)).max(1)
    }

    /// Waits until the machine can run a cell with this need in addition to everything that runs already, and calls
    /// `on_shortage` with each shortage that delays it. Dropping the future gives up the cell's turn and the slots
    /// collected so far.
    ///
    /// # Errors
    /// If the locks can't be created or opened.
    pub async fn take(
        &self,
        need: &Need,
        on_shortage: impl Fn(&Shortage),
    ) -> Result<Share, LockError> {
        let in_turn = async {
            let _turn = self.turn(&on_shortage).await?;
            self.collect_all(0..self.total, 0, need, &on_shortage).await
        };
        if need.slots > 1 {
            return in_turn.await;
        }
        let from_reserve = async {
            // On an idle machine, the cell gets its turn before this delay ends.
            tokio::time::sleep(POLL_SLOTS).await;
            let reserve = self.total..self.total + RESERVED;
            self.collect_all(reserve, 1, need, |_| {}).await
        };
        tokio::select! {
            share = in_turn => share,
            share = from_reserve => share,
        }
    }

    /// Collects the cell's slots from those with the given `numbers`, and waits until the machine can run the cell.
    /// `running` is the number of cells that are assumed to hold slots outside of `numbers`.
    async fn collect_all(
        &self,
        numbers: Range<usize>,
        running: usize,
        need: &Need,
        on_shortage: impl Fn(&Shortage),
    ) -> Result<Share, LockError> {
        let mut share = Share {
            slots: BTreeMap::new(),
            when_ready: need.slots_when_ready,
            alive: Arc::new(()),
            returned: Arc::clone(&self.returned),
        };
        loop {
            // Registered before the check, so that no slot that is returned in the meantime is missed.
            let returned = self.returned.notified();
            let taken = running + self.collect(numbers.clone(), need, &mut share)?;
            let Some(short) = self.short_of(need, taken, share.slots.len()).await else {
                self.reserve(need, &share);
                return Ok(share);
            };
            on_shortage(&short);
            // This wait may take long. It has no deadline, because the end of the run drops this future.
            tokio::select! {
                () = returned => {}
                () = tokio::time::sleep(pause(&short)) => {}
            }
        }
    }

    /// Waits for this cell's turn to collect slots. A short wait isn't reported.
    async fn turn(&self, on_shortage: impl Fn(&Shortage)) -> Result<Lock, LockError> {
        let path = self.state.lock("budget-turn");
        let mut turn = std::pin::pin!(Lock::take(&path));
        tokio::select! {
            biased;
            turn = &mut turn => return turn,
            () = tokio::time::sleep(POLL_MACHINE) => {}
        }
        on_shortage(&Shortage::Turn);
        turn.await
    }

    /// Takes free slots until `share` has all slots that the cell needs. Returns how many slots other cells hold.
    fn collect(
        &self,
        numbers: Range<usize>,
        need: &Need,
        share: &mut Share,
    ) -> Result<usize, LockError> {
        let mut taken = 0;
        for number in numbers {
            if share.slots.contains_key(&number) {
                continue;
            }
            match Lock::try_take(&self.state.lock(&format!("budget-{number}")))? {
                None => taken += 1,
                Some(slot) if share.slots.len() < self.slots_of(need) => {
                    share.slots.insert(number, slot);
                }
                // The slot is free, and stays free: this was only a check.
                Some(_) => {}
            }
        }
        Ok(taken)
    }

    /// The slots of a cell with this need. A cell that needs more than the machine has gets all of them.
    fn slots_of(&self, need: &Need) -> usize {
        need.slots.min(self.total)
    }

    /// The resource that a cell with `collected` slots lacks while other cells hold `taken` slots. The machine is
    /// measured only if the cell has all its slots and another cell is running.
    async fn short_of(&self, need: &Need, taken: usize, collected: usize) -> Option<Shortage> {
        if collected < self.slots_of(need) {
            return Some(Shortage::Slots {
                taken,
                total: self.total,
                needed: need.slots,
            });
        }
        if taken == 0 {
            return None;
        }
        let (gauge, need) = (Arc::clone(&self.gauge), *need);
        let measured = tokio::task::spawn_blocking(move || gauge(&need)).await;
        // An unknown value delays no cell.
        let vitals = measured.unwrap_or_default();
        shortage(&need, taken, self.reserved(), &vitals)
    }

    fn reserve(&self, need: &Need, share: &Share) {
        self.reservations.lock().push(Reservation {
            bytes: need.memory,
            since: Instant::now(),
            cell: Arc::downgrade(&share.alive),
        });
    }

    /// The memory, in bytes, that was reserved for running cells and that they may not have allocated yet.
    fn reserved(&self) -> u64 {
        let mut reservations = self.reservations.lock();
        reservations.retain(|reservation| {
            reservation.cell.strong_count() > 0 && reservation.since.elapsed() < RAMP
        });
        let bytes = reservations.iter().map(|reservation| reservation.bytes);
        bytes.sum()
    }
}

/// How long to wait before the next check.
fn pause(short: &Shortage) -> Duration {
    match short {
        Shortage::Turn | Shortage::Slots { .. } => POLL_SLOTS,
        Shortage::Memory { .. } | Shortage::Processors { .. } | Shortage::Inotify { .. } => {
            POLL_MACHINE
        }
    }
}

/// The number of slots of a machine: proportional to its processors, limited by its memory, and at least enough for one
/// control plane.
fn slots(cpus: usize, memory: Option<u64>) -> usize {
    let by_memory = memory.map_or(usize::MAX, |memory| {
        let clusters = usize::try_from(memory / MEMORY_OF_CONTROL_PLANE).unwrap_or(usize::MAX);
        clusters.saturating_mul(SLOTS_OF_CONTROL_PLANE)
    });
    (cpus * SLOTS_PER_CPU)
        .min(by_memory)
        .max(SLOTS_OF_CONTROL_PLANE)
}

#[cfg(test)]
mod tests;
