//! Runs one cell: its phases in order, diagnostics right after a failure, and cleanup in every case.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tracing::Instrument;

use super::context::{Checked, Context, Outcome, Preflight};
use super::disposal::{Disposal, disposal, is_sound};
use super::interruption::{ABORTED, Interruption};
use super::{evidence, expectations, phases};
use crate::cluster::{CellPlan, Cluster};
use crate::deadline::milliseconds;
use crate::event::{
    CellEnd, Emitter, Event, Execution, Failure, LogExcerpt, PhaseResult, PhaseStatus, Symptom,
    Termination,
};
use crate::matrix::{HostCommand, Phase};

/// The time limit for diagnostics, so that a failed cell doesn't hang.
const DIAGNOSTICS_BUDGET: Duration = Duration::from_secs(20);

/// Runs the suite on one cell, and calls `ready` when its agents are ready or can no longer become ready. Afterwards,
/// the cell's cluster is deleted, or the returned end says that it isn't.
pub async fn run_cell(
    plan: Arc<CellPlan>,
    cluster: Arc<dyn Cluster>,
    execution: impl Fn(Phase) -> Execution,
    preflight: Preflight,
    events: Emitter,
    interruption: &Interruption,
    ready: impl FnMut(),
) -> CellEnd {
    let context = Context {
        plan,
        cluster,
        events,
        mock: None,
    };
    let mut run = CellRun {
        context,
        execution,
        interruption: interruption.clone(),
        end: CellEnd::default(),
        stopped: None,
    };
    run.all_phases(preflight, ready).await;
    run.end
}

struct CellRun<E> {
    context: Context,
    execution: E,
    interruption: Interruption,
    end: CellEnd,
    /// Why no further phase runs, if none does.
    stopped: Option<String>,
}

/// A phase, or a command after it.
#[derive(Clone, Debug)]
struct Stage {
    phase: Phase,
    command: Option<String>,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.command.as_deref().unwrap_or(self.phase.name()))
    }
}

impl From<Phase> for Stage {
    fn from(phase: Phase) -> Self {
        Self {
            phase,
            command: None,
        }
    }
}

/// How the work of a phase ended.
enum PhaseEnd {
    Done(Outcome),
    Interrupted,
    Panicked(String),
}

impl<E: Fn(Phase) -> Execution> CellRun<E> {
    async fn all_phases(&mut self, preflight: Preflight, mut ready: impl FnMut()) {
        let nothing_created = preflight.is_err();
        self.finish(
            &Phase::Preflight.into(),
            Duration::ZERO,
            PhaseEnd::Done(preflight.map(Checked::from)),
        );
        if !nothing_created {
            evidence::keep_manifests(&self.context).await;
            self.context.cluster.begin();
        }
        for phase in Phase::ALL {
            match phase {
                Phase::Preflight | Phase::Cleanup => {}
                phase => {
                    self.phase(phase).await;
                    if phase == Phase::Readiness {
                        ready();
                    }
                    self.commands_after(phase).await;
                }
            }
        }
        self.emit_last_counters();
        if nothing_created {
            self.skip(&Phase::Cleanup.into(), "nothing was created".to_owned());
        } else {
            self.cleanup().await;
        }
        self.emit_timings();
    }

    /// Starts `stage` or skips it. Returns whether it runs.
    fn start_or_skip(&mut self, stage: &Stage) -> bool {
        if self.stopped.is_none() && self.interruption.token.is_cancelled() {
            self.interrupted(None);
        }
        let turned_off = !self.context.plan.phases[stage.phase].runs;
        let turned_off = turned_off.then(|| stage.phase.turned_off());
        match self.stopped.clone().or(turned_off) {
            Some(reason) => self.skip(stage, reason),
            None => self.emit_started(stage),
        }
        self.stopped.is_none() && self.context.plan.phases[stage.phase].runs
    }

    async fn commands_after(&mut self, phase: Phase) {
        let checks = Arc::clone(&self.context.plan.checks);
        let commands = checks.commands.iter();
        for command in commands.filter(|command| command.after == phase) {
            self.command(command).await;
        }
    }

    /// Runs `command`, unless the cell has already failed. The command handles an interruption itself, because the
    /// processes that it started have to end.
    async fn command(&mut self, command: &HostCommand) {
        let stage = Stage {
            phase: command.after,
            command: Some(command.name.to_string()),
        };
        if !self.start_or_skip(&stage) {
            return;
        }
        let start = self.context.plan.clock.elapsed();
        let token = self.interruption.token.clone();
        let work = phases::command::run(&mut self.context, command, &token);
        let work = AssertUnwindSafe(work).catch_unwind();
        let forced = self.interruption.forced.clone();
        let end = match forced.run_until_cancelled(work).await {
            Some(Ok(Some(outcome))) => PhaseEnd::Done(outcome),
            Some(Ok(None)) | None => PhaseEnd::Interrupted,
            Some(Err(panic)) => PhaseEnd::from_unwind(Err(panic)),
        };
        self.end_of(&stage, start, end).await;
    }

    /// Runs `phase`, unless the cell has already failed.
    async fn phase(&mut self, phase: Phase) {
        if !self.start_or_skip(&phase.into()) {
            return;
        }
        let start = self.context.plan.clock.elapsed();
        let interruption = self.interruption.clone();
        let held = self.held(phase);
        let cluster = Arc::clone(&self.context.cluster);
        let broken = async {
            match phase {
                phase if phase > Phase::Readiness => cluster.broken().await,
                _ => std::future::pending().await,
            }
        };
        let steps = show_steps(&self.context, phase);
        let span = tracing::info_span!("phase", name = phase.name());
        let work = async {
            held.await;
            tokio::select! {
                biased;
                outcome = run_phase(phase, &mut self.context) => outcome,
                failure = broken => Err(failure),
                never = steps => match never {},
            }
        };
        let end = tokio::select! {
            biased;
            () = interruption.token.cancelled() => PhaseEnd::Interrupted,
            result = AssertUnwindSafe(work).catch_unwind().instrument(span) => PhaseEnd::from_unwind(result),
        };
        self.end_of(&phase.into(), start, end).await;
    }

    /// Reports the end of a `stage` that began at `start`, and collects diagnostics if it failed.
    async fn end_of(&mut self, stage: &Stage, start: Duration, end: PhaseEnd) {
        let end = self.with_logs(stage.phase, end).await;
        let failed = !matches!(end, PhaseEnd::Done(Ok(_)));
        let duration = self.context.plan.clock.elapsed().saturating_sub(start);
        tracing::debug!(phase = stage.phase.name(), took = ?duration, failed, "ended");
        self.finish(stage, duration, end);
        if failed {
            // A second signal aborts the collection.
            self.unless_aborted(self.diagnose()).await;
        }
    }

    /// Cleans up. Only a second signal interrupts this phase, which has its own deadline.
    async fn cleanup(&mut self) {
        let forced = self.interruption.forced.clone();
        if forced.is_cancelled() {
            self.end.interrupted = true;
            self.skip(&Phase::Cleanup.into(), ABORTED.to_owned());
            return;
        }
        self.emit_started(&Phase::Cleanup.into());
        let start = self.context.plan.clock.elapsed();
        let held = self.held(Phase::Cleanup);
        let disposal = disposal(self.context.plan.keep, &self.end);
        let is_sound = is_sound(&self.end);
        let work = async {
            held.await;
            match disposal {
                Disposal::Keep(_) => phases::cleanup::keep(&mut self.context, is_sound).await,
                Disposal::HandOver => phases::cleanup::run(&mut self.context, true).await,
                Disposal::Delete => phases::cleanup::run(&mut self.context, false).await,
            }
        };
        let end = forced.run_until_cancelled(AssertUnwindSafe(work).catch_unwind());
        let Some(end) = end.await else {
            self.end.interrupted = true;
            self.skip(&Phase::Cleanup.into(), ABORTED.to_owned());
            return;
        };
        let end = PhaseEnd::from_unwind(end);
        if let (Disposal::Keep(reason), PhaseEnd::Done(Ok(_))) = (disposal, &end) {
            // A retry would need the names that the kept cluster uses.
            self.end.left_behind = true;
            self.skip(&Phase::Cleanup.into(), reason.to_owned());
            return;
        }
        let duration = self.context.plan.clock.elapsed().saturating_sub(start);
        self.finish(&Phase::Cleanup.into(), duration, end);
    }

    /// The result of `work`; `None` if a second signal came first.
    async fn unless_aborted<F: Future>(&self, work: F) -> Option<F::Output> {
        self.interruption.forced.run_until_cancelled(work).await
    }

    /// Returns immediately, unless the run is to be held in `phase`.
    fn held(&self, phase: Phase) -> impl Future<Output = ()> + 'static {
        let (events, cell) = (
            self.context.events.clone(),
            self.context.plan.cell.id.clone(),
        );
        let clock = self.context.plan.clock.clone();
        self.interruption.hold(phase, clock, move |text| {
            events.emit(Event::Notice {
                severity: crate::event::Severity::Info,
                text: format!("{cell}: {text}"),
            });
        })
    }

    /// Reports the end of `stage`, and records its consequences for later stages.
    fn finish(&mut self, stage: &Stage, duration: Duration, end: PhaseEnd) {
        let (status, checked) = match end {
            PhaseEnd::Done(Ok(checked)) => (PhaseStatus::Passed, checked),
            PhaseEnd::Done(Err(failure)) => (self.failed(stage, failure), Checked::default()),
            PhaseEnd::Interrupted => (self.interrupted(Some(stage)), Checked::default()),
            PhaseEnd::Panicked(message) => {
                let failure = Failure::new(
                    Symptom::RunnerBug,
                    format!("the runner panicked: {message}"),
                );
                (self.failed(stage, failure), Checked::default())
            }
        };
        let result = PhaseResult {
            phase: stage.phase,
            command: stage.command.clone(),
            execution: self.execution_of(stage),
            status,
            duration_ms: milliseconds(duration),
            evidence: checked.evidence,
            warnings: checked.warnings,
            logs: checked.logs,
        };
        self.emit_finished(result);
    }

    /// A command always runs on this machine, even if the provider simulates its phase.
    fn execution_of(&self, stage: &Stage) -> Execution {
        match stage.command {
            Some(_) => Execution::Run,
            None => (self.execution)(stage.phase),
        }
    }

    fn failed(&mut self, stage: &Stage, failure: Failure) -> PhaseStatus {
        self.stopped
            .get_or_insert_with(|| format!("`{stage}` failed"));
        self.end.failed_in.get_or_insert(stage.phase);
        self.end.left_behind |= stage.phase == Phase::Cleanup;
        self.end.failures.push(failure.clone());
        PhaseStatus::Failed { failure }
    }

    fn interrupted(&mut self, during: Option<&Stage>) -> PhaseStatus {
        let signal = self.interruption.by().map_or("a signal", Termination::name);
        let reason = during.map_or_else(
            || format!("interrupted by {signal}"),
            |stage| format!("interrupted by {signal} during `{stage}`"),
        );
        self.end.interrupted = true;
        self.stopped.get_or_insert_with(|| reason.clone());
        PhaseStatus::Skipped { reason }
    }

    fn skip(&self, stage: &Stage, reason: String) {
        self.emit_finished(PhaseResult {
            phase: stage.phase,
            command: stage.command.clone(),
            execution: self.execution_of(stage),
            status: PhaseStatus::Skipped { reason },
            duration_ms: 0,
            evidence: Vec::new(),
            warnings: Vec::new(),
            logs: Vec::new(),
        });
    }

    /// Adds the likely cause to a failure, and log excerpts if an agent or the mock may be involved.
    async fn with_logs(&self, phase: Phase, end: PhaseEnd) -> PhaseEnd {
        match end {
            PhaseEnd::Done(Err(failure)) if phase >= Phase::Readiness => {
                let reading = evidence::with_logs(&self.context, failure.clone());
                let with_logs = self.unless_aborted(reading).await;
                PhaseEnd::Done(Err(with_logs.unwrap_or(failure)))
            }
            PhaseEnd::Done(Err(mut failure)) => {
                failure.likely_cause = evidence::likely_cause(&self.context, &failure, None);
                PhaseEnd::Done(Err(failure))
            }
            end => end,
        }
    }

    /// Collects diagnostics before the cluster is deleted.
    async fn diagnose(&self) {
        let deadline = self.context.plan.clock.deadline(DIAGNOSTICS_BUDGET);
        let failures = self.end.failures.iter();
        let reported: Vec<LogExcerpt> = failures.flat_map(|failure| failure.logs.clone()).collect();
        let collecting = evidence::collect(&self.context, &reported, &deadline);
        let collecting = AssertUnwindSafe(collecting).catch_unwind();
        match deadline.run(collecting).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.warn("the collection of diagnostics panicked"),
            Err(_) => self.warn("the collection of diagnostics took too long and was aborted"),
        }
    }

    fn warn(&self, text: &str) {
        self.context.events.emit(Event::Notice {
            severity: crate::event::Severity::Warning,
            text: format!("{}: {text}", self.context.plan.cell.id),
        });
    }

    fn emit_last_counters(&self) {
        let view = self
            .context
            .mock
            .as_ref()
            .and_then(super::mock::MockClient::view);
        if let Some(view) = view {
            self.context.events.emit(Event::Counters {
                cell: self.context.plan.cell.id.clone(),
                counters: expectations::table(&view),
            });
        }
    }

    fn emit_started(&self, stage: &Stage) {
        self.context.events.emit(Event::PhaseStarted {
            cell: self.context.plan.cell.id.clone(),
            phase: stage.phase,
            command: stage.command.clone(),
        });
    }

    fn emit_finished(&self, result: PhaseResult) {
        self.context.events.emit(Event::PhaseFinished {
            cell: self.context.plan.cell.id.clone(),
            result,
        });
    }

    fn emit_timings(&self) {
        let steps = self.context.cluster.steps().steps();
        if !steps.is_empty() {
            self.context.events.emit(Event::Timings {
                cell: self.context.plan.cell.id.clone(),
                steps,
            });
        }
    }
}

impl PhaseEnd {
    fn from_unwind(result: Result<Outcome, Box<dyn std::any::Any + Send>>) -> Self {
        match result {
            Ok(outcome) => Self::Done(outcome),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Self::Panicked(text.unwrap_or_else(|| "no message".to_owned()))
            }
        }
    }
}

/// Reports the running steps of the provider as the progress of `phase`. Phases after `readiness` have their own
/// progress.
fn show_steps(context: &Context, phase: Phase) -> impl Future<Output = Infallible> + use<> {
    let (events, cell) = (context.events.clone(), context.plan.cell.id.clone());
    let mut running = context.cluster.steps().running();
    async move {
        if phase > Phase::Readiness {
            return std::future::pending().await;
        }
        loop {
            let text = running.borrow_and_update().join(", ");
            if !text.is_empty() {
                events.emit(Event::PhaseProgress {
                    cell: cell.clone(),
                    phase,
                    text,
                });
            }
            if running.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }
}

async fn run_phase(phase: Phase, context: &mut Context) -> Outcome {
    if phase > Phase::Readiness {
        connect(phase, context).await?;
    }
    let checked = checks_of(phase, context).await?;
    if !context.plan.phases.is_last_before_cleanup(phase) {
        return Ok(checked);
    }
    connect(phase, context).await?;
    phases::final_check::run(context, phase, checked).await
}

async fn connect(phase: Phase, context: &mut Context) -> Result<(), Failure> {
    let deadline = context.deadline(phase);
    context.connect(&deadline).await
}

async fn checks_of(phase: Phase, context: &mut Context) -> Outcome {
    match phase {
        // Preflight is checked once per run, before any cell. Cleanup has its own method because it runs in every
        // case.
        Phase::Preflight | Phase::Cleanup => Ok(Checked::default()),
        Phase::Cluster => phases::cluster::run(context).await,
        Phase::Images => phases::images::run(context).await,
        Phase::Manifests => phases::manifests::run(context).await,
        Phase::Readiness => phases::readiness::run(context).await,
        Phase::Assertions => phases::assertions::run(context).await,
        Phase::RequestBodies => phases::request_bodies::run(context).await,
        Phase::Periodic => phases::periodic::run(context).await,
        Phase::Restart => phases::restart::run(context).await,
        Phase::LocalEndpoint => phases::local_endpoint::run(context).await,
    }
}
