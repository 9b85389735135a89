//! One cell from its admission to its verdict: its attempts, one after another, and the events about them.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::admission::{Admission, AdmissionGuard, Position};
use super::plan::further_attempt;
use super::policy::Stop;
use super::queue::{self, Queue, Turn};
use super::retry::{delays, should_retry};
use super::setup::Setup;
use crate::cluster::CellPlan;
use crate::deadline::milliseconds;
use crate::error::chain;
use crate::event::{
    CellEnd, CellVerdict, Emitter, Event, Failure, MachineLoad, Symptom, Termination,
};
use crate::machine::budget::Need;
use crate::machine::ports::{self, PortError};
use crate::machine::{HistoryFile, load};
use crate::matrix::CellId;
use crate::record::{CellResult, of_attempt, reason_of_attempt};
use crate::suite::{Interruption, Preflight, run_cell};

/// The state that the cells of a run share.
pub(super) struct RunContext {
    pub(super) setup: Arc<Setup>,
    pub(super) admission: Admission,
    pub(super) history: HistoryFile,
    pub(super) stop: Stop,
    pub(super) events: Emitter,
    pub(super) interruption: Interruption,
}

/// One cell.
pub(super) struct CellTask {
    pub(super) shared: Arc<RunContext>,
    pub(super) plan: Arc<CellPlan>,
    pub(super) preflight: Preflight,
    /// The queue of the cells that use the same cluster.
    pub(super) queue: Arc<Queue>,
    /// Why the cell can't run here, if that is known already.
    pub(super) skip: Option<String>,
}

impl CellTask {
    /// Runs the cell when it is admitted, and reports its end. Returns whether it started.
    pub(super) async fn run(self, position: Position) -> bool {
        let (shared, cell) = (&self.shared, &self.plan.cell);
        let Some((mut turn, guard)) = self.admitted(position).await else {
            let skipped = CellResult::Skipped {
                reason: self.why_not_started(),
                cannot_run: self.skip.is_some(),
            };
            shared.report_finished(&cell.id, &skipped, Duration::ZERO);
            return false;
        };
        let start = shared.setup.clock.elapsed();
        let (result, guard) = self.attempts(guard).await;
        let duration = shared.setup.clock.elapsed().saturating_sub(start);
        shared.report_finished(&cell.id, &result, duration);
        if !cell.allow_failure {
            shared.stop.record(&cell.id, result.verdict());
        }
        // The admission is passed on only now, because this cell's end has to be recorded before the next cell starts.
        *turn = guard;
        true
    }

    /// Waits for the cell's turn and its admission. `None` if it doesn't start.
    async fn admitted(&self, position: Position) -> Option<(Turn, AdmissionGuard)> {
        let (shared, need) = (&self.shared, self.need());
        let admitting = async {
            if self.skip.is_some() {
                drop(position.reached().await);
                return None;
            }
            let cell = &self.plan.cell.id;
            Some(queue::admit(&shared.admission, &self.queue, position, cell, &need).await)
        };
        tokio::select! {
            biased;
            () = shared.interruption.token.cancelled() => None,
            () = shared.stop.stopped() => None,
            admitted = admitting => admitted,
        }
    }

    fn need(&self) -> Need {
        self.shared.setup.provider.need(&self.plan.cell)
    }

    fn why_not_started(&self) -> String {
        if let Some(reason) = &self.skip {
            return reason.clone();
        }
        if let Some(reason) = self.shared.stop.reason() {
            return reason.to_owned();
        }
        let why = match self.shared.interruption.by() {
            Some(Termination::RunTimeout) => "the run timeout (--run-timeout) was reached",
            Some(Termination::Interrupt | Termination::Terminate) | None => {
                "the run was interrupted"
            }
        };
        format!("not started: {why}")
    }

    /// Runs attempts until no retry follows. Returns how they ended, and the admission of the last attempt.
    async fn attempts(&self, mut guard: AdmissionGuard) -> (CellResult, Option<AdmissionGuard>) {
        let shared = &self.shared;
        let matrix = &shared.setup.matrix;
        let mut delays = delays(&matrix.run.retry);
        let mut earlier = Vec::new();
        let mut number = 1;
        loop {
            let start = shared.setup.clock.elapsed();
            let span = tracing::info_span!("attempt", number);
            let last = self.attempt(number, &mut guard).instrument(span).await;
            let duration = shared.setup.clock.elapsed().saturating_sub(start);
            let is_interrupted = shared.interruption.token.is_cancelled();
            if is_interrupted || !should_retry(&matrix.run.retry, &matrix.phases, &earlier, &last) {
                self.record_duration(&last, duration).await;
                return (CellResult::Tried { earlier, last }, Some(guard));
            }
            let delay = delays.next().unwrap_or_default();
            self.report_retried(number, &last, duration, delay);
            earlier.push(last);
            // Another cell may be admitted in the meantime, so the next attempt has to be admitted again.
            drop(guard);
            let Some(next) = self.wait_for_retry(delay).await else {
                // The retry that never started counts as interrupted.
                let last = CellEnd {
                    interrupted: true,
                    ..CellEnd::default()
                };
                return (CellResult::Tried { earlier, last }, None);
            };
            guard = next;
            number += 1;
        }
    }

    /// Waits for the delay and for admission. `None` if the run ends first.
    async fn wait_for_retry(&self, delay: Duration) -> Option<AdmissionGuard> {
        let shared = &self.shared;
        let delay = shared.setup.clock.deadline(delay);
        let waiting = async {
            delay.passed().await;
            let need = self.need();
            shared.admission.acquire(&self.plan.cell.id, &need).await
        };
        tokio::select! {
            biased;
            () = shared.interruption.token.cancelled() => None,
            guard = waiting => Some(guard),
        }
    }

    /// Adds the duration of a passed attempt to the history.
    async fn record_duration(&self, end: &CellEnd, duration: Duration) {
        if of_attempt(end) != CellVerdict::Passed {
            return;
        }
        let (shared, cell) = (&self.shared, self.plan.cell.id.in_matrix());
        let provider = shared.setup.provider.name();
        if let Err(error) = shared.history.add(provider, cell, duration).await {
            let error = chain(&error);
            tracing::warn!(error, "failed to record the duration of a cell");
        }
    }

    async fn attempt(&self, number: u32, guard: &mut AdmissionGuard) -> CellEnd {
        let plan = match number {
            1 => Arc::clone(&self.plan),
            further => Arc::new(further_attempt(&self.plan, further)),
        };
        let shared = &self.shared;
        shared.events.emit(Event::CellStarted {
            cell: plan.cell.id.clone(),
            cluster: plan.cluster.to_string(),
            attempt: number,
        });
        let mut port = None;
        let preflight = self.preflight.clone().and_then(|evidence| {
            port = Some(shared.hold_port(&plan)?);
            Ok(evidence)
        });
        let provider = Arc::clone(&shared.setup.provider);
        let end = run_cell(
            Arc::clone(&plan),
            shared.setup.provider.cluster(Arc::clone(&plan)).await,
            move |phase| provider.execution(phase),
            preflight,
            shared.events.clone(),
            &shared.interruption,
            || guard.shrink(),
        )
        .await;
        if let Some(port) = port {
            release_port(port, &plan);
        }
        end
    }

    fn report_retried(&self, attempt: u32, end: &CellEnd, duration: Duration, wait: Duration) {
        self.shared.events.emit(Event::CellRetried {
            cell: self.plan.cell.id.clone(),
            attempt,
            verdict: of_attempt(end),
            reason: reason_of_attempt(end),
            duration_ms: milliseconds(duration),
            load: self.shared.load(),
            wait_ms: milliseconds(wait),
        });
    }
}

impl RunContext {
    /// Reports the end of a cell.
    pub(super) fn report_finished(&self, cell: &CellId, result: &CellResult, duration: Duration) {
        let (cannot_run, load) = match result {
            CellResult::Skipped { cannot_run, .. } => (*cannot_run, None),
            CellResult::Tried { .. } => (false, self.load()),
        };
        self.events.emit(Event::CellFinished {
            cell: cell.clone(),
            verdict: result.verdict(),
            cannot_run,
            reason: result.reason(),
            duration_ms: milliseconds(duration),
            load,
        });
    }

    /// The current load of the machine.
    fn load(&self) -> Option<MachineLoad> {
        let load = load::measure()?;
        Some(MachineLoad {
            average_hundredths: load.average_hundredths,
            cpu_pressure_percent: load.cpu_pressure_percent,
            memory_available_bytes: load.memory_available,
            cells: self.admission.running(),
        })
    }

    /// Reserves the attempt's port and holds it, so that no other process can take it.
    fn hold_port(&self, plan: &CellPlan) -> Result<u16, Failure> {
        let bound = ports::bind_recorded(&self.setup.matrix.run.ports, &plan.ledger);
        let (port, listener) = bound.map_err(|error| match error {
            PortError::AllTaken { .. } | PortError::Bind(_) => {
                Failure::new(Symptom::NoPortFree, chain(&error))
                    .with_remedy("set `ports` under `[run]` to another range, or to \"any\"")
            }
            PortError::Ledger(error) => error.into(),
        })?;
        plan.hold_listener(listener);
        Ok(port)
    }
}

/// Releases the attempt's port, and records in the ledger that the port is free.
fn release_port(port: u16, plan: &CellPlan) {
    drop(plan.take_listener());
    if let Err(error) = ports::release(port, &plan.ledger) {
        tracing::warn!(%error, "failed to record that a port is free");
    }
}
