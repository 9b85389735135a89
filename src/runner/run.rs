//! A run from its first event to its last.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::admission::{Admission, Place, places};
use super::closing;
use super::dispatch;
use super::request::{RunOutcome, RunRequest};
use super::verdict::{self, Counted};
use crate::cluster::{CellPlan, Provider};
use crate::deadline::milliseconds;
use crate::error::chain;
use crate::event::{
    CellSummary, CellVerdict, Emitter, Event, Failure, FlakyResult, HostFacts, RunFacts, Severity,
    Symptom, Termination,
};
use crate::machine::ports::{self, PortError};
use crate::machine::probe;
use crate::matrix::{CellId, Phase, PortRange};
use crate::suite::{CellEnd, Interruption, Preflight, run_cell};

/// Runs everything that `request` asks for. Every sink has seen the last event when this returns.
pub(super) async fn run(mut request: RunRequest) -> RunOutcome {
    let (events, stamped) = Emitter::new();
    let dispatcher = dispatch::start(std::mem::take(&mut request.sinks), stamped);
    let mut outcome = Run::new(&request, events).all().await;
    drop(request.plans);
    outcome.left = closing::close(request.ledger, &request.state);
    if let Err(error) = dispatcher.await {
        tracing::error!(%error, "the dispatcher of events failed");
    }
    outcome
}

/// What the tasks of a run share.
struct Run<'r> {
    request: &'r RunRequest,
    provider: Arc<dyn Provider>,
    admission: Arc<Admission>,
    events: Emitter,
}

impl<'r> Run<'r> {
    fn new(request: &'r RunRequest, events: Emitter) -> Self {
        let provider = Arc::clone(&request.provider.provider);
        let clusters = provider.name() == "kind";
        let admission = Admission::new(request.jobs, request.plans.cells.len(), clusters);
        Self {
            request,
            provider,
            admission: Arc::new(admission),
            events,
        }
    }

    async fn all(&self) -> RunOutcome {
        let clock = &self.request.clock;
        let start = clock.elapsed();
        self.events.emit(Event::RunStarted {
            facts: self.facts().await,
        });
        for text in &self.request.notices {
            self.events.emit(Event::Notice {
                severity: Severity::Info,
                text: text.clone(),
            });
        }
        let preflight = self.preflight().await;
        let (counted, by) = self.cells_or_signal(preflight).await;
        self.finish().await;
        let verdict = verdict::of_run(&counted, by);
        let cells = self.request.plans.cells.iter().zip(&counted);
        let cells = cells.map(|(plan, counted)| {
            let (verdict, reason) = conclusion(counted);
            (plan.cell.id.clone(), verdict, reason)
        });
        let cells = cells.collect();
        self.events.emit(Event::RunFinished {
            verdict,
            duration_ms: milliseconds(clock.elapsed().saturating_sub(start)),
        });
        let mut failures = counted.iter().flat_map(|cell| &cell.end.failures);
        RunOutcome {
            verdict,
            class: failures.next().map(Failure::class),
            cells,
            left: Vec::new(),
        }
    }

    /// Takes away what the cells had in common. What can't be taken away stays in the ledger, and changes no cell's verdict.
    async fn finish(&self) {
        let request = self.request;
        let timeout = request.phases.timeout(Phase::Cleanup);
        let deadline = request.clock.deadline(timeout);
        let finishing = self.provider.finish(&request.ledger, &deadline);
        let forced = &request.interruption.forced;
        if let Some(Err(failure)) = forced.run_until_cancelled(finishing).await {
            self.events.emit(Event::Notice {
                severity: Severity::Warning,
                text: failure.message,
            });
        }
    }

    async fn facts(&self) -> RunFacts {
        let request = self.request;
        RunFacts {
            run: request.folder.id().to_owned(),
            runner: env!("CARGO_PKG_VERSION").to_owned(),
            matrix: request.matrix.display().to_string(),
            filters: request.selection.filters.clone(),
            provider: self.provider.name().to_owned(),
            provider_reason: request.provider.reason.clone(),
            jobs: self.admission.capacity(),
            flaky_result: FlakyResult::default(),
            host: HostFacts {
                name: probe::host_name(),
                platform: probe::platform(),
                cpus: probe::cpus(),
                memory_bytes: probe::memory().map_or(0, |memory| memory.total),
                tools: self.provider.tools().await,
            },
            rerun_of: request.selection.rerun_of.clone(),
            selection_digest: request.selection.digest.clone(),
            shard: request.selection.shard.clone(),
            parts: Vec::new(),
            cells: request
                .plans
                .cells
                .iter()
                .map(|plan| summary(plan))
                .collect(),
        }
    }

    /// Phase 1, for all cells at once.
    async fn preflight(&self) -> Preflight {
        let cells: Vec<_> = self
            .request
            .plans
            .cells
            .iter()
            .map(|plan| plan.cell.clone())
            .collect();
        let interruption = &self.request.interruption;
        let (clock, events) = (&self.request.clock, self.events.clone());
        let held = interruption.hold(Phase::Preflight, clock.clone(), move |text| {
            let severity = Severity::Info;
            events.emit(Event::Notice { severity, text });
        });
        let looking = async {
            held.await;
            let deadline = clock.deadline(self.request.phases.timeout(Phase::Preflight));
            let looking = self.provider.preflight(&cells, &deadline);
            deadline.run(looking).await
        };
        tokio::select! {
            biased;
            () = interruption.token.cancelled() => Ok(Vec::new()),
            found = looking => found.unwrap_or_else(|timed_out| {
                Err(Failure::new(Symptom::EngineGone, format!("the look at the machine {timed_out}")))
            }),
        }
    }

    /// Every cell, and the signal that ended them early. The signal is told when it comes: cells may take a while to go.
    async fn cells_or_signal(&self, preflight: Preflight) -> (Vec<Counted>, Option<Termination>) {
        let interruption = &self.request.interruption;
        let mut cells = std::pin::pin!(self.cells(preflight));
        tokio::select! {
            biased;
            () = interruption.token.cancelled() => {}
            counted = &mut cells => return (counted, None),
        }
        let by = interruption.by();
        if let Some(by) = by {
            self.events.emit(Event::Interrupted { by });
        }
        tokio::select! {
            biased;
            counted = &mut cells => return (counted, by),
            () = interruption.forced.cancelled() => {}
        }
        self.events.emit(Event::Notice {
            severity: Severity::Warning,
            text: "a second signal: every process is killed, and nothing is cleaned up".to_owned(),
        });
        (cells.await, by)
    }

    /// Every cell in a task of its own. Returns how each ended, in the cells' order.
    async fn cells(&self, preflight: Preflight) -> Vec<Counted> {
        let mut tasks = JoinSet::new();
        let mut ends: Vec<Option<Counted>> = Vec::new();
        let mut indices = std::collections::HashMap::new();
        let plans = self.request.plans.cells.iter().enumerate();
        for ((index, plan), place) in plans.zip(places()) {
            ends.push(None);
            let task = CellTask {
                plan: Arc::clone(plan),
                provider: Arc::clone(&self.provider),
                admission: Arc::clone(&self.admission),
                preflight: preflight.clone(),
                ports: self.request.ports.clone(),
                events: self.events.clone(),
                interruption: self.request.interruption.clone(),
            };
            indices.insert(tasks.spawn(task.run(place)).id(), index);
        }
        while let Some(joined) = tasks.join_next_with_id().await {
            let (id, counted) = match joined {
                Ok((id, counted)) => (id, counted),
                Err(error) => (error.id(), runner_bug(&error)),
            };
            if let Some(index) = indices.get(&id) {
                self.conclude(&self.request.plans.cells[*index].cell.id, &counted);
                ends[*index] = Some(counted.0);
            }
        }
        ends.into_iter().flatten().collect()
    }

    fn conclude(&self, cell: &CellId, (counted, duration_ms): &(Counted, u64)) {
        let (verdict, reason) = conclusion(counted);
        self.events.emit(Event::CellFinished {
            cell: cell.clone(),
            verdict,
            reason,
            duration_ms: *duration_ms,
            load: None,
        });
    }
}

/// The verdict on a cell, and why it is not green.
fn conclusion(counted: &Counted) -> (CellVerdict, Option<String>) {
    if counted.skipped {
        return (
            CellVerdict::Skipped,
            Some("the run was interrupted before it began".to_owned()),
        );
    }
    let verdict = verdict::of_cell(&counted.end);
    let reason = match (verdict, counted.end.failures.first()) {
        (CellVerdict::Interrupted, _) => Some("the run was interrupted".to_owned()),
        (_, first) => first.map(|failure| failure.message.clone()),
    };
    (verdict, reason)
}

fn runner_bug(error: &tokio::task::JoinError) -> (Counted, u64) {
    let failure = Failure::new(
        Symptom::RunnerBug,
        format!("the runner's task ended: {error}"),
    );
    let counted = Counted {
        end: CellEnd {
            failures: vec![failure],
            interrupted: false,
        },
        skipped: false,
        allow_failure: false,
    };
    (counted, 0)
}

fn summary(plan: &CellPlan) -> CellSummary {
    let cell = &plan.cell;
    CellSummary {
        id: cell.id.clone(),
        kubernetes: cell.kubernetes.to_string(),
        nodes: cell.nodes.get(),
        config: cell.variant.name.to_string(),
        tags: cell.tags.iter().cloned().collect(),
        allow_failure: cell.allow_failure,
        repetition: None,
    }
}

/// One cell, from its admission to its end.
struct CellTask {
    plan: Arc<CellPlan>,
    provider: Arc<dyn Provider>,
    admission: Arc<Admission>,
    preflight: Preflight,
    ports: PortRange,
    events: Emitter,
    interruption: Interruption,
}

impl CellTask {
    async fn run(self, place: Place) -> (Counted, u64) {
        let admitted = tokio::select! {
            biased;
            () = self.interruption.token.cancelled() => None,
            permit = self.admission.admit(place, &self.plan.cell) => permit,
        };
        let counted = |end, skipped| Counted {
            end,
            skipped,
            allow_failure: self.plan.cell.allow_failure,
        };
        let Some(_permit) = admitted else {
            return (counted(CellEnd::default(), true), 0);
        };
        let start = self.plan.clock.elapsed();
        self.events.emit(Event::CellStarted {
            cell: self.plan.cell.id.clone(),
            cluster: self.plan.cluster.to_string(),
            attempt: 1,
        });
        let end = self.suite().await;
        let duration = self.plan.clock.elapsed().saturating_sub(start);
        (counted(end, false), milliseconds(duration))
    }

    async fn suite(&self) -> CellEnd {
        let mut port = None;
        let preflight = self.preflight.clone().and_then(|evidence| {
            port = Some(self.hold_port()?);
            Ok(evidence)
        });
        let provider = Arc::clone(&self.provider);
        let end = run_cell(
            Arc::clone(&self.plan),
            self.provider.cluster(Arc::clone(&self.plan)),
            move |phase| provider.execution(phase),
            preflight,
            self.events.clone(),
            &self.interruption,
        )
        .await;
        if let Some(port) = port {
            drop(self.plan.take_listener());
            if let Err(error) = ports::release(port, &self.plan.ledger) {
                tracing::warn!(%error, "failed to write down that a port is free");
            }
        }
        end
    }

    /// Binds the cell's port. It is held from now on, so that nobody takes it in between.
    fn hold_port(&self) -> Result<u16, Failure> {
        let bound = ports::bind_written_down(&self.ports, &self.plan.ledger);
        let (port, listener) = bound.map_err(|error| match error {
            PortError::AllTaken { .. } | PortError::Bind(_) => {
                Failure::new(Symptom::NoPortFree, error.to_string())
                    .with_remedy("name another range as `ports` under `[run]`, or \"any\"")
            }
            PortError::Ledger(error) => Failure::new(Symptom::FilesystemFailed, chain(&error)),
        })?;
        self.plan.hold_listener(listener);
        Ok(port)
    }
}
