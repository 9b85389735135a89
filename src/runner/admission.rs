//! Admits cells in order: as many at once as were requested, or as many as the machine can run.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::chain;
use crate::event::{Emitter, Event, Severity};
use crate::machine::budget::{Budget, Need, Share, Shortage};
use crate::machine::{LockError, StateFolder};
use crate::matrix::{CellId, Jobs, PortRange};

/// Admits cells.
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    /// The maximum number of cells that this process runs at once.
    max_cells: usize,
    /// The machine's budget, shared by all processes; `None` if a number of jobs was requested.
    budget: Option<Budget>,
    /// Each running cell has a clone.
    running: Arc<()>,
    events: Emitter,
    /// The kinds of shortages that were reported.
    reported: Mutex<HashSet<Discriminant<Shortage>>>,
    budget_is_lost: std::sync::Once,
}

/// The admission of one cell. It ends when this guard is dropped.
pub(super) struct AdmissionGuard {
    _running: Arc<()>,
    _permit: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
}

impl AdmissionGuard {
    /// Returns the part of the budget that the cell no longer needs, because its agents are ready.
    pub(super) fn shrink(&mut self) {
        if let Some(share) = &mut self.share {
            share.shrink();
        }
    }
}

impl Admission {
    /// Admission for `jobs`. Each cell needs one of `ports`.
    pub(super) fn new(jobs: Jobs, ports: &PortRange, state: &StateFolder, events: Emitter) -> Self {
        let (max_cells, budget) = match jobs {
            Jobs::Exactly(jobs) => (jobs.get(), None),
            Jobs::Auto => {
                let ports = ports.len().unwrap_or(Semaphore::MAX_PERMITS);
                (ports, Some(Budget::of_machine(state)))
            }
        };
        let max_cells = max_cells.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(max_cells)),
            max_cells,
            budget,
            running: Arc::default(),
            events,
            reported: Mutex::default(),
            budget_is_lost: std::sync::Once::new(),
        }
    }

    /// How many cells with these needs run at once on an idle machine, assuming that all are as heavy as the heaviest
    /// one.
    pub(super) fn capacity(&self, needs: &[Need]) -> usize {
        let heaviest = needs.iter().max_by_key(|need| need.slots);
        let capacity = self.budget.as_ref().zip(heaviest);
        let capacity = capacity.map_or(usize::MAX, |(budget, need)| budget.carries(need));
        capacity.min(self.max_cells).min(needs.len()).max(1)
    }

    /// The number of cells that are running.
    pub(super) fn running(&self) -> usize {
        Arc::strong_count(&self.running) - 1
    }

    /// Waits until `cell`, whose turn has come, is admitted.
    pub(super) async fn acquire(&self, cell: &CellId, need: &Need) -> AdmissionGuard {
        let permit = self.permit(cell).await;
        let share = match &self.budget {
            None => None,
            Some(budget) => {
                let last = Mutex::new(None);
                let on_shortage = |short: &Shortage| {
                    let mut last = last.lock();
                    // Shown once per kind of shortage, because the numbers change all the time.
                    if last.replace(discriminant(short)) != Some(discriminant(short)) {
                        self.report_shortage(cell, short);
                    }
                };
                let taken = budget.take(need, on_shortage).await;
                taken.map_err(|error| self.report_lost_budget(&error)).ok()
            }
        };
        AdmissionGuard {
            _running: Arc::clone(&self.running),
            _permit: permit,
            share,
        }
    }

    async fn permit(&self, cell: &CellId) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let at_once = self.max_cells;
        let text = format!("waiting for another cell: at most {at_once} may run at once");
        self.report_waiting(cell, text);
        // The semaphore is never closed.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Shows what `cell` waits for.
    pub(super) fn report_waiting(&self, cell: &CellId, text: String) {
        let cell = cell.clone();
        self.events.emit(Event::CellWaiting { cell, text });
    }

    /// Shows what a cell waits for, and adds a notice about each kind of shortage once per run. There is no notice if
    /// the cell waits for another cell of the same run.
    fn report_shortage(&self, cell: &CellId, short: &Shortage) {
        self.report_waiting(cell, short.to_string());
        let is_for_cells = matches!(short, Shortage::Turn | Shortage::Slots { .. });
        if is_for_cells && self.running() > 0 {
            return;
        }
        let mut reported = self.reported.lock();
        if reported.insert(discriminant(short)) {
            self.events
                .notice(Severity::Info, format!("{cell} is {short}"));
        }
    }

    /// Reports once that the budget can't be used. Cells are then admitted without it.
    fn report_lost_budget(&self, error: &LockError) {
        self.budget_is_lost.call_once(|| {
            let why = chain(error);
            let text = format!("cells are admitted without regard to other runs: {why}");
            self.events.notice(Severity::Warning, text);
        });
    }
}

/// A position in the order of admission. Its turn comes when the [`Next`] of the previous position is dropped.
pub(super) struct Position {
    turn: oneshot::Receiver<()>,
    next: Next,
}

/// Starts the turn of the next position when it is dropped.
pub(super) type Next = oneshot::Sender<()>;

impl Position {
    /// Waits for the turn of this position.
    pub(super) async fn reached(self) -> Next {
        // A dropped sender is the signal.
        drop(self.turn.await);
        self.next
    }
}

/// An endless sequence of positions. Cells start in the order of their positions, no matter which task runs first.
pub(super) fn positions() -> impl Iterator<Item = Position> {
    let (_, mut turn) = oneshot::channel();
    std::iter::repeat_with(move || {
        let (next, following) = oneshot::channel();
        let turn = std::mem::replace(&mut turn, following);
        Position { turn, next }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::event::{Message, Stamped};

    const NEED: Need = Need {
        slots: 1,
        slots_when_ready: 1,
        memory: 0,
        inotify: 0,
    };

    fn admission(folder: &tempfile::TempDir, jobs: usize) -> Admission {
        reporting(folder, jobs, Emitter::new().0)
    }

    fn reporting(folder: &tempfile::TempDir, jobs: usize, events: Emitter) -> Admission {
        let jobs = NonZeroUsize::new(jobs).map_or(Jobs::Auto, Jobs::Exactly);
        let state = StateFolder::at(folder.path());
        Admission::new(jobs, &PortRange::Any, &state, events)
    }

    pub(crate) fn cell() -> CellId {
        CellId::try_from("k8s-1.36-n1-default".to_owned()).unwrap()
    }

    /// What cells have been waiting for since the last call, in the order of the messages.
    pub(crate) fn waits(messages: &mut UnboundedReceiver<Stamped>) -> Vec<String> {
        let messages = std::iter::from_fn(|| messages.try_recv().ok());
        messages
            .filter_map(|(_, message)| match message {
                Message::Event(event) => match *event {
                    Event::CellWaiting { text, .. } => Some(text),
                    _ => None,
                },
                Message::WriteFailed { .. } | Message::End { .. } => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_cell_shows_that_it_waits_for_another_one() {
        let (folder, cell) = (tempfile::tempdir().unwrap(), cell());
        let (events, mut messages) = Emitter::new();
        let admission = reporting(&folder, 1, events);
        let guard = admission.acquire(&cell, &NEED).await;
        assert_eq!(waits(&mut messages), [] as [&str; 0]);
        let mut second = std::pin::pin!(admission.acquire(&cell, &NEED));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "another cell is running"
        );
        assert_eq!(
            waits(&mut messages),
            ["waiting for another cell: at most 1 may run at once"]
        );
        drop(guard);
        second.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_cell_shows_once_which_resource_it_waits_for() {
        let (folder, cell) = (tempfile::tempdir().unwrap(), cell());
        let (events, mut messages) = Emitter::new();
        let admission = reporting(&folder, 0, events);
        let _guard = admission.acquire(&cell, &NEED).await;
        let memory = u64::MAX;
        let large = Need { memory, ..NEED };
        let waiting = admission.acquire(&cell, &large);
        let admitted = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(admitted.is_err(), "no machine has that much memory");
        let shown = waits(&mut messages);
        assert!(shown[0].starts_with("waiting for memory: "), "{shown:?}");
        assert_eq!(shown.len(), 1, "{shown:?}");
    }

    #[tokio::test]
    async fn the_order_of_positions_is_kept() {
        let cell = &cell();
        let folder = tempfile::tempdir().unwrap();
        let admission = admission(&folder, 1);
        let mut positions = positions();
        let (first, second) = (positions.next().unwrap(), positions.next().unwrap());
        let admit = async |position: Position| {
            let _next = position.reached().await;
            admission.acquire(cell, &NEED).await
        };
        let mut second = std::pin::pin!(admit(second));
        assert!(second.as_mut().now_or_never().is_none());
        let guard = admit(first).await;
        assert!(
            second.as_mut().now_or_never().is_none(),
            "another cell is running"
        );
        assert_eq!(admission.running(), 1);
        drop(guard);
        second.await;
        assert_eq!(admission.running(), 0);
    }

    #[test]
    fn requested_jobs_limit_the_number_of_cells() {
        let folder = tempfile::tempdir().unwrap();
        let heavy = Need { slots: 99, ..NEED };
        let capacity = |jobs, needs: &[Need]| admission(&folder, jobs).capacity(needs);
        assert_eq!(capacity(2, &[heavy; 9]), 2);
        assert_eq!(capacity(2, &[heavy]), 1);
        assert_eq!(capacity(0, &[heavy; 9]), 1, "the machine decides");
    }

    #[test]
    fn the_number_of_ports_limits_the_number_of_cells() {
        let folder = tempfile::tempdir().unwrap();
        let (state, ports) = (
            StateFolder::at(folder.path()),
            PortRange::Between(9000..=9001),
        );
        let admission = Admission::new(Jobs::Auto, &ports, &state, Emitter::new().0);
        assert_eq!(admission.capacity(&[NEED; 9]), 2);
    }
}
