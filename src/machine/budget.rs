//! The machine's budget: how many cells it carries at once, over all processes of its user.
//!
//! The budget is a pool of slots, each a lock that the kernel drops with its holder. Who wants some collects them alone, so that whoever
//! comes first is served first, a heavy cell is not passed over for ever, and no two that have half of theirs wait for each other.
//! Before a cell is let in the machine is looked at, and what it is short of holds the cell back; but one cell always runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::load::{self, Load};
use super::{Lock, LockError, StateFolder, probe};

/// Slots of a processor. A cell of plain processes, which waits more than it works, takes one.
const SLOTS_PER_CPU: usize = 8;
/// The control plane of a real cluster takes that many, a worker half of it: two on a processor keep it busy without starving each
/// other.
pub const SLOTS_OF_CONTROL_PLANE: usize = 4;
/// What a control plane takes in memory while it comes up, in bytes, rounded up from what was measured (400 MB).
pub const MEMORY_OF_CONTROL_PLANE: u64 = 768 << 20;

/// How much load a slot that is taken explains, in hundredths of a process that wants to run.
const LOAD_OF_SLOT: u64 = 75;
/// A machine is overloaded by others above that many processes a processor that want to run, in hundredths,
const OVERLOAD_PER_CPU: u64 = 300;
/// where something also waits for a processor most of the time, in percent.
const OVERLOAD_PRESSURE: u64 = 50;
/// How long it takes a cell to take the memory that it was let in for.
const RAMP: Duration = Duration::from_secs(30);
/// Nobody tells when another process lets go of a slot, or when the machine has memory again.
const POLL: Duration = Duration::from_millis(200);

/// What a cell takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Slots of the budget.
    pub slots: usize,
    /// Memory, in bytes.
    pub memory: u64,
    /// inotify instances of root.
    pub inotify: u64,
}

/// What the machine has, as far as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Processors.
    pub cpus: usize,
    /// Load and memory.
    pub load: Option<Load>,
    /// inotify instances of root that are in use, and how many there can be.
    pub inotify: Option<(u64, u64)>,
}

/// What the machine is short of, for a cell to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Slots: other cells have them.
    Slots {
        /// How many are taken.
        taken: usize,
        /// How many there are.
        total: usize,
        /// How many the cell needs.
        needed: usize,
    },
    /// Memory, in bytes.
    Memory {
        /// What is available and not promised to cells that were just let in.
        free: u64,
        /// What the cell needs.
        needed: u64,
    },
    /// Processors: other work than cells has them.
    Processors {
        /// The load average, in hundredths.
        average_hundredths: u64,
        /// How many there are.
        cpus: usize,
    },
    /// inotify instances.
    Inotify {
        /// How many are in use.
        used: u64,
        /// How many there can be.
        limit: u64,
        /// How many the cell needs.
        needed: u64,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots {
                taken,
                total,
                needed,
            } => write!(
                formatter,
                "waits for other cells on this machine: {taken} of its {total} slots are taken, {needed} needed"
            ),
            Self::Memory { free, needed } => write!(
                formatter,
                "waits for memory: {} MiB free, {} MiB needed",
                free >> 20,
                needed >> 20
            ),
            Self::Processors {
                average_hundredths,
                cpus,
            } => write!(
                formatter,
                "waits for processors: other programs keep them busy, the load is {}.{:02} on {cpus}",
                average_hundredths / 100,
                average_hundredths % 100
            ),
            Self::Inotify {
                used,
                limit,
                needed,
            } => write!(
                formatter,
                "waits for inotify instances: {used} of {limit} are in use, {needed} needed"
            ),
        }
    }
}

/// How the machine is looked at for a cell of that need.
type Gauge = dyn Fn(&Need) -> Vitals + Send + Sync;

/// The budget.
pub struct Budget {
    folder: PathBuf,
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
            folder: state.locks(),
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
        let _turn = Lock::take(&self.folder.join("budget-turn")).await?;
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
            let vitals = self.vitals(*need).await;
            let Some(short) = self.short_of(need, taken, share.slots.len(), &vitals) else {
                self.promise(need, &share);
                return Ok(share);
            };
            held_back(&short);
            // Whoever has the turn may wait for long; the run's end drops this.
            tokio::select! {
                () = returned => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
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
            match Lock::try_take(&self.folder.join(format!("budget-{number}")))? {
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

    fn short_of(
        &self,
        need: &Need,
        taken: usize,
        collected: usize,
        vitals: &Vitals,
    ) -> Option<Shortage> {
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
        shortage(need, taken, self.promised(), vitals)
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

/// What a machine is short of on which cells have `taken` slots already.
fn shortage(need: &Need, taken: usize, promised: u64, vitals: &Vitals) -> Option<Shortage> {
    let load = vitals.load?;
    let free = load.memory_available.saturating_sub(promised);
    if free < need.memory {
        let needed = need.memory;
        return Some(Shortage::Memory { free, needed });
    }
    if let Some((used, limit)) = vitals.inotify
        && used + need.inotify > limit
    {
        let needed = need.inotify;
        return Some(Shortage::Inotify {
            used,
            limit,
            needed,
        });
    }
    let ours = taken as u64 * LOAD_OF_SLOT;
    let others = load.average_hundredths.saturating_sub(ours);
    let starved = load
        .cpu_pressure_percent
        .is_none_or(|percent| percent >= OVERLOAD_PRESSURE);
    (others > vitals.cpus as u64 * OVERLOAD_PER_CPU && starved).then_some(Shortage::Processors {
        average_hundredths: load.average_hundredths,
        cpus: vitals.cpus,
    })
}

fn look(need: &Need) -> Vitals {
    let inotify = || Some((probe::inotify_in_use()?, probe::inotify()?.instances));
    Vitals {
        cpus: probe::cpus(),
        load: load::measure(),
        inotify: (need.inotify > 0).then(inotify).flatten(),
    }
}

#[cfg(test)]
mod tests;
