//! A run from its first event to its last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::admission::{Admission, positions};
use super::cell_task::{CellTask, RunContext};
use super::dispatch;
use super::facts;
use super::order::{Expected, longest_first};
use super::plan::repeated;
use super::policy::Stop;
use super::queue::Queue;
use super::request::{RunOutcome, RunRequest};
use crate::cluster::{CellPlan, Survey};
use crate::deadline::milliseconds;
use crate::error::chain;
use crate::event::{CellEnd, Emitter, Event, Failure, RunVerdict, Severity, Symptom, Termination};
use crate::machine::{
    HistoryFile, Ledger, LedgerContents, LedgerError, Left, Resource, StateFolder, tidy,
};
use crate::matrix::{Cell, Phase};
use crate::record::{self, CellResult, RunModel};

/// Runs everything in `request`. When this returns, every sink has received the last event.
pub(super) async fn run(mut request: RunRequest) -> RunOutcome {
    let (events, stamped) = Emitter::new();
    let dispatcher = dispatch::start(
        request.setup.mask.clone(),
        std::mem::take(&mut request.sinks),
        std::mem::take(&mut request.earlier.model),
        request.earlier.next_sequence,
        stamped,
    );
    Run::new(&request, events).execute().await;
    let ledger = Arc::clone(&request.planner.ledger);
    let state = request.setup.state.clone();
    drop(request);
    let left = close(ledger, &state);
    let run = dispatcher.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the dispatcher of events failed");
        RunModel::default()
    });
    let class = record::class_of(&run);
    let cells = run.cells.into_iter();
    RunOutcome {
        // The last event is missing only if the runner has a bug.
        verdict: run.verdict.unwrap_or(RunVerdict::RunnerBug),
        class,
        cells: cells
            .map(|cell| (cell.summary.id, cell.verdict, cell.reason))
            .collect(),
        left,
    }
}

/// Closes `ledger`. Returns the resources that should have been deleted, but may still exist.
pub(super) fn close(ledger: Arc<Ledger>, state: &StateFolder) -> Vec<Resource> {
    let left = close_ledger(ledger).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "failed to close the ledger");
        Vec::new()
    });
    if let Err(error) = tidy(state) {
        tracing::warn!(error = chain(&error), "failed to delete lock files");
    }
    let unwanted = left.into_iter().filter(Left::is_unwanted);
    unwanted.map(|left| left.resource).collect()
}

/// After an aborted run, tasks may still hold the ledger, which then stays open until the process ends.
fn close_ledger(ledger: Arc<Ledger>) -> Result<Vec<Left>, LedgerError> {
    let folder = ledger.folder().to_owned();
    match Arc::into_inner(ledger) {
        Some(ledger) => ledger.close(),
        None => Ok(LedgerContents::read(&folder)?.left),
    }
}

/// A run. Each cell is a task; everything else happens here.
struct Run<'r> {
    request: &'r RunRequest,
    shared: Arc<RunContext>,
    /// The known cells: those of the first round, or of all rounds if their number is known.
    plans: Vec<Arc<CellPlan>>,
}

impl<'r> Run<'r> {
    fn new(request: &'r RunRequest, events: Emitter) -> Self {
        let plans = first_plans(request);
        let setup = Arc::clone(&request.setup);
        let settings = &setup.matrix.run;
        let shared = RunContext {
            admission: Admission::new(settings.jobs, &settings.ports, &setup.state, events.clone()),
            history: HistoryFile::of(&setup.state),
            stop: Stop::new(&request.policy, settings.retry.flaky_result),
            setup,
            events,
            interruption: request.interruption.clone(),
        };
        Self {
            request,
            shared: Arc::new(shared),
            plans,
        }
    }

    async fn execute(mut self) {
        let start = self.shared.setup.clock.elapsed();
        let opening = facts::opening(self.request, &self.shared, &self.plans).await;
        self.shared.events.emit(opening);
        for (severity, text) in self.request.notices.iter().cloned() {
            self.shared.events.notice(severity, text);
        }
        self.run_until_timeout().await;
        self.finish().await;
        let duration = self.shared.setup.clock.elapsed().saturating_sub(start);
        self.shared.events.end(milliseconds(duration));
    }

    /// Deletes the resources that the cells shared. Those that can't be deleted stay in the ledger, and don't change
    /// any verdict.
    async fn finish(&self) {
        let shared = &self.shared;
        let deadline = shared.setup.deadline(Phase::Cleanup);
        let ledger = &self.request.planner.ledger;
        let finishing = shared.setup.provider.finish(ledger, &deadline);
        let forced = &shared.interruption.forced;
        let (severity, texts) = match forced.run_until_cancelled(finishing).await {
            Some(Ok(texts)) => (Severity::Info, texts),
            Some(Err(failure)) => (Severity::Warning, vec![failure.message]),
            None => return,
        };
        for text in texts {
            shared.events.notice(severity, text);
        }
    }

    /// Runs all cells until a signal or the run timeout ends them early.
    async fn run_until_timeout(&mut self) {
        let timeout = self.request.policy.timeout;
        let deadline = timeout.map(|timeout| self.shared.setup.clock.deadline(timeout));
        let interruption = self.request.interruption.clone();
        let events = self.shared.events.clone();
        let mut cells = std::pin::pin!(self.preflight_and_rounds());
        // Without a run timeout, this future returns `None`, which disables its branch below.
        let timed_out = async {
            deadline?.passed().await;
            Some(())
        };
        tokio::select! {
            biased;
            () = interruption.token.cancelled() => {}
            Some(()) = timed_out => interruption.interrupt(Termination::RunTimeout),
            () = &mut cells => return,
        }
        // Reported immediately, because cells may take a while to end.
        if let Some(by) = interruption.by() {
            events.emit(Event::Interrupted { by });
        }
        tokio::select! {
            biased;
            () = &mut cells => return,
            () = interruption.forced.cancelled() => {}
        }
        events.notice(
            Severity::Warning,
            "second signal: killing all processes without cleaning up",
        );
        cells.await;
    }

    async fn preflight_and_rounds(&mut self) {
        let preflight = self.preflight().await;
        self.announce(1);
        let some_began = self.run_cells(&self.plans, &preflight).await;
        if self.request.policy.until_failure {
            self.further_rounds(&preflight, some_began).await;
        }
    }

    /// The phase `preflight`, for all cells at once.
    async fn preflight(&self) -> Result<Survey, Failure> {
        let (shared, setup) = (&self.shared, &self.shared.setup);
        let notify = |text| shared.events.notice(Severity::Info, text);
        let checking = async {
            let hold = shared
                .interruption
                .hold(Phase::Preflight, &setup.clock, notify);
            hold.await;
            let deadline = setup.deadline(Phase::Preflight);
            setup.provider.preflight(&setup.cells, &deadline).await
        };
        let survey = tokio::select! {
            biased;
            () = shared.interruption.token.cancelled() => Ok(Survey::default()),
            found = checking => found,
        };
        for text in survey.iter().flat_map(|survey| survey.notices.clone()) {
            shared.events.notice(Severity::Warning, text);
        }
        survey
    }

    /// Runs rounds until a cell fails, the last round is over or the run is interrupted. A round in which no cell could
    /// start is also the last one, because the next one would be no different.
    async fn further_rounds(&mut self, preflight: &Result<Survey, Failure>, mut some_began: bool) {
        for round in 2..=self.request.policy.last_round() {
            let is_interrupted = self.request.interruption.token.is_cancelled();
            if self.shared.stop.has_failures() || !some_began || is_interrupted {
                return;
            }
            self.announce(round);
            let plans = self.request.planner.round(round);
            self.shared.events.emit(Event::CellsAdded {
                cells: facts::summaries(self.request, &plans),
            });
            some_began = self.run_cells(&plans, preflight).await;
        }
    }

    /// Announces cells to the provider: before the first round all planned cells, and before each round also the cells
    /// of the next round, if there may be one.
    fn announce(&self, round: u32) {
        let request = self.request;
        let planned = self.plans.iter().map(|plan| plan.cell.clone());
        let mut cells: Vec<Cell> = if round == 1 {
            planned.collect()
        } else {
            Vec::new()
        };
        if request.policy.until_failure && round < request.policy.last_round() {
            cells.extend(repeated(&request.setup.cells, round + 1));
        }
        self.shared.setup.provider.expect(&cells);
    }

    /// Runs every cell of `plans` in a task. Returns whether any of them started.
    async fn run_cells(
        &self,
        plans: &[Arc<CellPlan>],
        preflight: &Result<Survey, Failure>,
    ) -> bool {
        let mut tasks = JoinSet::new();
        let mut indices = HashMap::new();
        let mut queues: HashMap<String, Arc<Queue>> = HashMap::new();
        for (index, position) in self.order(plans).into_iter().zip(positions()) {
            let plan = &plans[index];
            let skips = preflight.as_ref().ok().map(|survey| &survey.skips);
            let mut skips = skips.into_iter().flatten();
            let skip = skips.find(|(id, _)| id.in_matrix() == plan.cell.id.in_matrix());
            let queue = match self.shared.setup.provider.queue(&plan.cell) {
                Some(name) => Arc::clone(queues.entry(name).or_default()),
                None => Arc::default(),
            };
            let task = CellTask {
                shared: Arc::clone(&self.shared),
                plan: Arc::clone(plan),
                preflight: preflight.clone().map(|survey| survey.evidence),
                queue,
                skip: skip.map(|(_, reason)| reason.clone()),
            };
            let span = tracing::info_span!("cell", id = %plan.cell.id);
            let running = task.run(position).instrument(span);
            indices.insert(tasks.spawn(running).id(), index);
        }
        // A queue is dropped with its last cell.
        drop(queues);
        let mut some_began = false;
        while let Some(joined) = tasks.join_next_with_id().await {
            match joined {
                Ok((_, began)) => some_began |= began,
                Err(error) => {
                    some_began = true;
                    if let Some(index) = indices.get(&error.id()) {
                        self.report_bug(&plans[*index], &error);
                    }
                }
            }
        }
        some_began
    }

    /// The indexes of `plans` in the order in which they start: round by round, and the longest first in each.
    fn order(&self, plans: &[Arc<CellPlan>]) -> Vec<usize> {
        let provider = &self.shared.setup.provider;
        let expected = plans.iter().map(|plan| Expected {
            round: plan.cell.id.number(),
            time: self
                .request
                .history
                .estimate(provider.name(), plan.cell.id.in_matrix()),
            weight: provider.need(&plan.cell).slots,
        });
        longest_first(&expected.collect::<Vec<_>>())
    }

    /// Reports a cell whose task ended unexpectedly.
    fn report_bug(&self, plan: &CellPlan, error: &JoinError) {
        let message = format!("the cell's task in the runner ended unexpectedly: {error}");
        let result = CellResult::Tried {
            earlier: Vec::new(),
            last: CellEnd {
                failures: vec![Failure::new(Symptom::RunnerBug, message)],
                ..CellEnd::default()
            },
        };
        let cell = &plan.cell.id;
        self.shared.report_finished(cell, &result, Duration::ZERO);
        self.shared.stop.record(cell, result.verdict());
    }
}

/// The plans that are created before the first event: those of all rounds, if their number is known and no failure ends
/// the run early.
fn first_plans(request: &RunRequest) -> Vec<Arc<CellPlan>> {
    let rounds = request.policy.planned_rounds();
    let plans = (1..=rounds).flat_map(|round| request.planner.round(round));
    let settled = &request.earlier.settled;
    plans
        .filter(|plan| !settled.contains(&plan.cell.id))
        .collect()
}
