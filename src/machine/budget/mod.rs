//! The machine's budget: how many cells it carries at once, over all processes of its user.
//!
//! The budget is a pool of slots, each a lock that the kernel drops with its holder. Who wants some collects them alone, so that whoever
//! comes first is served first, a heavy cell is not passed over for ever, and no two that have half of theirs wait for each other.
//! Before a cell is let in the machine is looked at, and what it is short of holds the cell back; but one cell always runs.

mod shortage;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Lock, LockError, StateFolder, probe};
pub use shortage::{Need, Shortage, Vitals};
use shortage::{look, shortage};

/// Slots of a processor. A cell of plain processes, which waits more than it works, takes one.
const SLOTS_PER_CPU: usize = 8;
/// The control plane of a real cluster takes that many, a worker half of it: two on a processor keep it busy without starving each
/// other.
pub const SLOTS_OF_CONTROL_PLANE: usize = 4;
/// What a control plane takes in memory while it comes up, in bytes, rounded up from what was measured (400 MB).
pub const MEMORY_OF_CONTROL_PLANE: u64 = 768 << 20;

/// How long it takes a cell to take the memory that it was let in for.
const RAMP: Duration = Duration::from_secs(30);
/// Nobody tells when another process lets go of a slot,
const POLL_SLOTS: Duration = Duration::from_millis(200);
/// or when the machine has again what it was short of: looking at that costs more, and it comes more slowly.
const POLL_MACHINE: Duration = Duration::from_secs(1);

/// How the machine is looked at for a cell of that need.
type Gauge = dyn Fn(&Need) -> Vitals + Send + Sync;

/// The budget.
pub struct Budget {
    state: StateFolder,
    total: usize,
    gauge: Arc<Gauge>,
    promises: Mutex<Vec<Promise>>,
    returned: Arc<Notify>,
}

/// A part of the budget, had until it is dropped.
#[derive(Debug)]
pub struct Share {
    slots: Vec<Lock>,
    alive: Arc<()>,
    returned: Arc<Notify>,
}

/// Memory that a cell was let in for and may not have taken yet.
struct Promise {
    bytes: u64,
    since: Instant,
    cell: Weak<()>,
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
        Self::new(state, slots(probe::cpus(), memory), Arc::new(look))
    }

    fn new(state: &StateFolder, total: usize, gauge: Arc<Gauge>) -> Self {
        Self {
            state: state.clone(),
            total,
            gauge,
            promises: Mutex::new(Vec::new()),
            returned: Arc::new(Notify::new()),
        }
    }

    /// How many cells of that need run at once where there is nothing else.
    pub fn carries(&self, need: &Need) -> usize {
        (self.total / need.slots.max(1)).max(1)
    }

    /// Waits until the machine carries a cell of that need beside all that it carries already. `held_back` is told each time it does not.
    /// Dropping the future gives the place in the queue up, and what was collected.
    ///
    /// # Errors
    /// Where the locks can't be had at all.
    pub async fn take(
        &self,
        need: &Need,
        held_back: impl Fn(&Shortage),
    ) -> Result<Share, LockError> {
        let _turn = self.turn(&held_back).await?;
        let mut share = Share {
            slots: Vec::new(),
            alive: Arc::new(()),
            returned: Arc::clone(&self.returned),
        };
        let mut mine = vec![false; self.total];
        loop {
            // Made before the look, so that nothing which is returned meanwhile is missed.
            let returned = self.returned.notified();
            let taken = self.collect(need, &mut share, &mut mine)?;
            let Some(short) = self.short_of(need, taken, share.slots.len()).await else {
                self.promise(need, &share);
                return Ok(share);
            };
            held_back(&short);
            // Whoever has the turn may wait for long; the run's end drops this.
            tokio::select! {
                () = returned => {}
                () = tokio::time::sleep(pause(&short)) => {}
            }
        }
    }

    /// Waits for the turn to collect. That it takes a moment is not worth a word.
    async fn turn(&self, held_back: impl Fn(&Shortage)) -> Result<Lock, LockError> {
        let path = self.state.lock("budget-turn");
        let mut turn = std::pin::pin!(Lock::take(&path));
        tokio::select! {
            biased;
            turn = &mut turn => return turn,
            () = tokio::time::sleep(POLL_MACHINE) => {}
        }
        held_back(&Shortage::Turn);
        turn.await
    }

    /// Takes what is free of the slots that `share` still lacks. Returns how many others have.
    fn collect(
        &self,
        need: &Need,
        share: &mut Share,
        mine: &mut [bool],
    ) -> Result<usize, LockError> {
        let mut taken = 0;
        for (number, mine) in mine.iter_mut().enumerate() {
            if *mine {
                continue;
            }
            match Lock::try_take(&self.state.lock(&format!("budget-{number}")))? {
                None => taken += 1,
                Some(slot) if share.slots.len() < self.slots_of(need) => {
                    share.slots.push(slot);
                    *mine = true;
                }
                // Free, and left so: it was only looked at.
                Some(_) => {}
            }
        }
        Ok(taken)
    }

    /// A cell that is heavier than the machine has all of it.
    fn slots_of(&self, need: &Need) -> usize {
        need.slots.min(self.total)
    }

    async fn vitals(&self, need: Need) -> Vitals {
        let gauge = Arc::clone(&self.gauge);
        let looked = tokio::task::spawn_blocking(move || gauge(&need)).await;
        // Nothing known holds nothing back.
        looked.unwrap_or_default()
    }

    /// What a cell lacks that has `collected` slots where others have `taken`. Only who has all of them looks at the machine, and only
    /// where something runs already.
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
        let vitals = self.vitals(*need).await;
        shortage(need, taken, self.promised(), &vitals)
    }

    fn promise(&self, need: &Need, share: &Share) {
        let promise = Promise {
            bytes: need.memory,
            since: Instant::now(),
            cell: Arc::downgrade(&share.alive),
        };
        let promises = self.promises.lock();
        promises
            .unwrap_or_else(PoisonError::into_inner)
            .push(promise);
    }

    /// What was promised to cells that still run and can't have taken it yet.
    fn promised(&self) -> u64 {
        let promises = self.promises.lock();
        let mut promises = promises.unwrap_or_else(PoisonError::into_inner);
        promises
            .retain(|promise| promise.cell.strong_count() > 0 && promise.since.elapsed() < RAMP);
        promises.iter().map(|promise| promise.bytes).sum()
    }
}

/// How long to wait before the next look.
fn pause(short: &Shortage) -> Duration {
    match short {
        Shortage::Turn | Shortage::Slots { .. } => POLL_SLOTS,
        Shortage::Memory { .. } | Shortage::Processors { .. } | Shortage::Inotify { .. } => {
            POLL_MACHINE
        }
    }
}

/// The slots of a machine: by its processors, as long as there is memory for as many control planes.
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
