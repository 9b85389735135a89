//! The resources that a machine can be short of. All functions are pure, except for the measurement itself.

use std::fmt;

use super::SLOTS_OF_CONTROL_PLANE;
use crate::machine::load::{self, Load};
use crate::machine::probe;

/// How much load a taken slot accounts for, in hundredths of a runnable process.
const LOAD_OF_SLOT: u64 = 100;
/// The machine can be overloaded if other programs have more runnable processes per processor than this, in hundredths.
const OVERLOAD_PER_CPU: u64 = 300;
/// Such a machine is overloaded if its CPU pressure is at least this, in percent.
const OVERLOAD_PRESSURE: u64 = 50;

/// The resources that a cell needs on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Slots of the budget, until the cell's agents are ready.
    pub slots: usize,
    /// Slots of the budget from then on.
    pub slots_when_ready: usize,
    /// Memory, in bytes.
    pub memory: u64,
    /// inotify instances of the user root.
    pub inotify: u64,
}

/// The machine's resources, as far as the kernel reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Processors.
    pub cpus: usize,
    /// Load and memory.
    pub load: Option<Load>,
    /// The inotify instances of root that are in use, and their limit.
    pub inotify: Option<(u64, u64)>,
}

/// A resource that the machine lacks for a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The turn to collect slots: a cell of another run was first.
    Turn,
    /// Slots: other cells hold them.
    Slots {
        /// How many slots are taken.
        taken: usize,
        /// How many slots there are.
        total: usize,
        /// How many slots the cell needs.
        needed: usize,
    },
    /// Memory, in bytes.
    Memory {
        /// Available memory that isn't reserved for cells that were just admitted.
        free: u64,
        /// The memory that the cell needs.
        needed: u64,
    },
    /// Processors: programs other than cells use them.
    Processors {
        /// The load average, in hundredths.
        average_hundredths: u64,
        /// How many processors there are.
        cpus: usize,
    },
    /// inotify instances.
    Inotify {
        /// How many instances are in use.
        used: u64,
        /// The limit of instances.
        limit: u64,
        /// How many instances the cell needs.
        needed: u64,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn => formatter
                .write_str("waiting for a cell of another run, which is ahead in the queue"),
            Self::Slots {
                taken,
                total,
                needed,
            } => write!(
                formatter,
                "waiting for slots: {taken} of this machine's {total} are taken; this cell needs {needed}"
            ),
            Self::Memory { free, needed } => write!(
                formatter,
                "waiting for memory: {} MiB free, {} MiB needed",
                free >> 20,
                needed >> 20
            ),
            Self::Processors {
                average_hundredths,
                cpus,
            } => write!(
                formatter,
                "waiting for processors: other programs keep them busy (load average {}.{:02} on {cpus} processor{})",
                average_hundredths / 100,
                average_hundredths % 100,
                if *cpus == 1 { "" } else { "s" }
            ),
            Self::Inotify {
                used,
                limit,
                needed,
            } => write!(
                formatter,
                "waiting for inotify instances: {used} of {limit} are in use, {needed} needed"
            ),
        }
    }
}

/// The resource that a machine lacks for another cell while cells hold `taken` slots and `reserved` bytes of memory.
pub(super) fn shortage(
    need: &Need,
    taken: usize,
    reserved: u64,
    vitals: &Vitals,
) -> Option<Shortage> {
    let load = vitals.load?;
    let free = load.memory_available.saturating_sub(reserved);
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
    is_overloaded(need, taken, &load, vitals.cpus).then_some(Shortage::Processors {
        average_hundredths: load.average_hundredths,
        cpus: vitals.cpus,
    })
}

/// Whether other programs keep the processors so busy that a cell with this need would starve. Both the load average
/// and the current load have to show this.
fn is_overloaded(need: &Need, taken: usize, load: &Load, cpus: usize) -> bool {
    let ours = taken as u64 * LOAD_OF_SLOT;
    let now = load.runnable * 100;
    let others = load.average_hundredths.min(now).saturating_sub(ours);
    // A light cell tolerates more load.
    let lightness = (SLOTS_OF_CONTROL_PLANE / need.slots.max(1)).max(1);
    let is_starved = load
        .cpu_pressure_percent
        .is_none_or(|percent| percent >= OVERLOAD_PRESSURE);
    is_starved && others > (cpus * lightness) as u64 * OVERLOAD_PER_CPU
}

/// Measures the machine.
pub(super) fn measure(need: &Need) -> Vitals {
    let inotify = || Some((probe::inotify_in_use()?, probe::inotify()?.instances));
    Vitals {
        cpus: probe::cpus(),
        load: load::measure(),
        inotify: (need.inotify > 0).then(inotify).flatten(),
    }
}
