//! Admits cells in order, and as many at once as the machine can run or as were requested.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::chain;
use crate::event::{Emitter, Event, Severity};
use crate::machine::budget::{Budget, Need, Share, Shortage};
use crate::machine::{LockError, StateFolder};
use crate::matrix::{CellId, Jobs, PortRange};

/// Admits cells.
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    /// How many cells this process runs at most.
    most: usize,
    /// The machine's budget, shared by all processes; `None` if a number of jobs was requested.
    budget: Option<Budget>,
    running: Arc<AtomicUsize>,
    events: Emitter,
    said: Mutex<HashSet<Discriminant<Shortage>>>,
    is_lost: std::sync::Once,
}

/// The admission of one cell, until it is dropped.
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
    running: Arc<AtomicUsize>,
}

impl Room {
    /// Returns what the cell doesn't need once its agents are ready.
    pub(super) fn shrink(&mut self) {
        if let Some(share) = &mut self.share {
            share.shrink();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// Admission for `jobs`. Each cell needs one of `ports`.
    pub(super) fn new(jobs: Jobs, ports: &PortRange, state: &StateFolder, events: Emitter) -> Self {
        let (most, budget) = match jobs {
            Jobs::Exactly(jobs) => (jobs.get(), None),
            Jobs::Auto => {
                let ports = ports.len().unwrap_or(Semaphore::MAX_PERMITS);
                (ports, Some(Budget::of_machine(state)))
            }
        };
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(most)),
            most,
            budget,
            running: Arc::default(),
            events,
            said: Mutex::default(),
            is_lost: std::sync::Once::new(),
        }
    }

    /// How many cells with these needs run at once on an idle machine, assuming that all are as heavy as the heaviest one.
    pub(super) fn capacity(&self, needs: &[Need]) -> usize {
        let heaviest = needs.iter().max_by_key(|need| need.slots);
        let carried = self.budget.as_ref().zip(heaviest);
        let carried = carried.map_or(usize::MAX, |(budget, need)| budget.carries(need));
        carried.min(self.most).min(needs.len()).max(1)
    }

    /// The number of cells that are running.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Waits for the turn of `place`, and then for the admission of `cell`. Must be dropped when the run ends.
    pub(super) async fn admit(&self, place: Place, cell: &CellId, need: &Need) -> Room {
        let next = place.reached().await;
        let room = self.admit_again(cell, need).await;
        drop(next);
        room
    }

    /// Waits for the admission of `cell`, which has had its turn.
    pub(super) async fn admit_again(&self, cell: &CellId, need: &Need) -> Room {
        let permit = self.permit(cell).await;
        let share = match &self.budget {
            None => None,
            Some(budget) => {
                let last = Mutex::new(None);
                let held_back = |short: &Shortage| {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    // Once per kind, because the numbers change all the time.
                    if last.replace(discriminant(short)) != Some(discriminant(short)) {
                        self.held_back(cell, short);
                    }
                };
                let taken = budget.take(need, held_back).await;
                taken.map_err(|error| self.lost(&error)).ok()
            }
        };
        self.running.fetch_add(1, Ordering::Relaxed);
        Room {
            _permit: permit,
            share,
            running: Arc::clone(&self.running),
        }
    }

    async fn permit(&self, cell: &CellId) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let at_once = self.most;
        self.waits(cell, format!("waits for another cell: {at_once} at once"));
        // The semaphore is never closed.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Shows what `cell` waits for.
    pub(super) fn waits(&self, cell: &CellId, text: String) {
        let cell = cell.clone();
        self.events.emit(Event::CellWaiting { cell, text });
    }

    /// Shows what a cell waits for, and reports it once per reason. Waiting for another cell of the same run isn't reported.
    fn held_back(&self, cell: &CellId, short: &Shortage) {
        self.waits(cell, short.to_string());
        let is_for_cells = matches!(short, Shortage::Turn | Shortage::Slots { .. });
        if is_for_cells && self.running() > 0 {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(discriminant(short)) {
            self.say(Severity::Info, format!("{cell} {short}"));
        }
    }

    /// Reports a budget that can't be used. It doesn't delay cells.
    fn lost(&self, error: &LockError) {
        self.is_lost.call_once(|| {
            let why = chain(error);
            self.say(
                Severity::Warning,
                format!("cells are let in without a look at other runs: {why}"),
            );
        });
    }

    fn say(&self, severity: Severity, text: String) {
        self.events.emit(Event::Notice { severity, text });
    }
}

/// A position in the order of admission. Its turn comes when the one before was admitted or dropped.
pub(super) struct Place {
    turn: oneshot::Receiver<()>,
    next: oneshot::Sender<()>,
}

/// The next position: its turn comes when this is dropped.
pub(super) struct Next {
    _turn: oneshot::Sender<()>,
}

impl Place {
    /// Waits for the turn of this position.
    pub(super) async fn reached(self) -> Next {
        // A dropped sender is the signal.
        drop(self.turn.await);
        Next { _turn: self.next }
    }
}

/// Positions in order: cells start in this order, whichever task runs first.
pub(super) fn places() -> impl Iterator<Item = Place> {
    let (_, mut turn) = oneshot::channel();
    std::iter::repeat_with(move || {
        let (next, following) = oneshot::channel();
        let turn = std::mem::replace(&mut turn, following);
        Place { turn, next }
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
    use crate::matrix::Matrix;

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

    fn cell() -> CellId {
        let text = "[matrix]\nkubernetes = [\"1.36\"]\n";
        let matrix = Matrix::parse("matrix.toml", text).unwrap();
        matrix.cells[0].id.clone()
    }

    /// What cells have been waiting for since the last call.
    pub(crate) fn waits(said: &mut UnboundedReceiver<Stamped>) -> Vec<String> {
        let said = std::iter::from_fn(|| said.try_recv().ok());
        said.filter_map(|(_, said)| match said {
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
        let (events, mut said) = Emitter::new();
        let admission = reporting(&folder, 1, events);
        let room = admission.admit_again(&cell, &NEED).await;
        assert_eq!(waits(&mut said), [] as [&str; 0]);
        let mut second = std::pin::pin!(admission.admit_again(&cell, &NEED));
        assert!(second.as_mut().now_or_never().is_none(), "there is no room");
        assert_eq!(waits(&mut said), ["waits for another cell: 1 at once"]);
        drop(room);
        second.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_cell_shows_once_which_resource_it_waits_for() {
        let (folder, cell) = (tempfile::tempdir().unwrap(), cell());
        let (events, mut said) = Emitter::new();
        let admission = reporting(&folder, 0, events);
        let _room = admission.admit_again(&cell, &NEED).await;
        let memory = u64::MAX;
        let large = Need { memory, ..NEED };
        let waiting = admission.admit_again(&cell, &large);
        let admitted = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(admitted.is_err(), "no machine has that much memory");
        let shown = waits(&mut said);
        assert!(shown[0].starts_with("waits for memory: "), "{shown:?}");
        assert_eq!(shown.len(), 1, "{shown:?}");
    }

    #[tokio::test]
    async fn the_order_of_positions_is_kept() {
        let cell = &cell();
        let folder = tempfile::tempdir().unwrap();
        let admission = admission(&folder, 1);
        let mut places = places();
        let (first, second) = (places.next().unwrap(), places.next().unwrap());
        let mut second = std::pin::pin!(admission.admit(second, cell, &NEED));
        assert!(second.as_mut().now_or_never().is_none());
        let room = admission.admit(first, cell, &NEED).await;
        assert!(second.as_mut().now_or_never().is_none(), "there is no room");
        assert_eq!(admission.running(), 1);
        drop(room);
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
