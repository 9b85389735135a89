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
use super::mock::MockClient;
use super::{evidence, expectations, phases};
use crate::cluster::{CellPlan, Cluster};
use crate::deadline::milliseconds;
use crate::event::{
    CellEnd, Emitter, Event, Execution, Failure, LogExcerpt, PhaseResult, PhaseStatus, Severity,
    Symptom, Termination,
};
use crate::matrix::{HostCommand, Phase};

/// The timeout for diagnostics, so that a failed cell doesn't hang.
const DIAGNOSTICS_BUDGET: Duration = Duration::from_secs(20);

/// Runs the suite on one cell, and calls `ready` as soon as its agents are ready or can no longer become ready.
/// Afterwards, the cell's cluster is deleted, unless the returned [`CellEnd`] says otherwise.
pub async fn run_cell(
    plan: Arc<CellPlan>,
    cluster: Arc<dyn Cluster>,
    execution: impl Fn(Phase) -> Execution,
    preflight: Preflight,
    events: Emitter,
    interruption: &Interruption,
    ready: impl FnMut(),
) -> CellEnd {
    let mut run = CellRun {
        context: Context {
            plan,
            cluster,
            events,
            mock: None,
        },
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
    /// Why no further phase runs; `None` as long as phases run.
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

/// How a stage ended; `None` if the stage was interrupted.
type StageEnd = Option<Outcome>;

impl<E: Fn(Phase) -> Execution> CellRun<E> {
    async fn all_phases(&mut self, preflight: Preflight, mut ready: impl FnMut()) {
        let nothing_created = preflight.is_err();
        let end = Some(preflight.map(Checked::from));
        self.finish(&Phase::Preflight.into(), Duration::ZERO, end);
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
        let Some(reason) = self.stopped.clone().or(turned_off) else {
            self.emit_started(stage);
            return true;
        };
        self.skip(stage, reason);
        false
    }

    async fn commands_after(&mut self, phase: Phase) {
        let checks = Arc::clone(&self.context.plan.checks);
        let commands = checks.commands.iter();
        for command in commands.filter(|command| command.after == phase) {
            self.command(command).await;
        }
    }

    /// Runs `command`, unless the cell has already failed. The first signal doesn't drop the future, because the
    /// processes that the command started have to be stopped.
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
        let forced = self.interruption.forced.clone();
        let work = caught(phases::command::run(&mut self.context, command, &token));
        let end = forced.run_until_cancelled(work).await;
        let end = end.and_then(|end| end.flatten().transpose());
        self.end_of(&stage, start, end).await;
    }

    /// Runs `phase`, unless the cell has already failed.
    async fn phase(&mut self, phase: Phase) {
        if !self.start_or_skip(&phase.into()) {
            return;
        }
        let start = self.context.plan.clock.elapsed();
        let token = self.interruption.token.clone();
        let cluster = Arc::clone(&self.context.cluster);
        let steps = show_steps(&self.context, phase);
        let is_ready = phase > Phase::Readiness;
        let span = tracing::info_span!("phase", name = phase.name());
        let work = async {
            self.hold(phase).await;
            tokio::select! {
                biased;
                outcome = run_phase(phase, &mut self.context) => outcome,
                failure = cluster.broken(), if is_ready => Err(failure),
                // Later phases report their own progress.
                never = steps, if !is_ready => match never {},
            }
        };
        let end = tokio::select! {
            biased;
            () = token.cancelled() => None,
            outcome = caught(work).instrument(span) => Some(outcome.flatten()),
        };
        self.end_of(&phase.into(), start, end).await;
    }

    /// Reports the end of a `stage` that began at `start`, and collects diagnostics if it failed.
    async fn end_of(&mut self, stage: &Stage, start: Duration, end: StageEnd) {
        let end = self.with_logs(stage.phase, end).await;
        let failed = !matches!(end, Some(Ok(_)));
        let duration = self.context.plan.clock.elapsed().saturating_sub(start);
        tracing::debug!(phase = stage.phase.name(), took = ?duration, failed, "ended");
        self.finish(stage, duration, end);
        if failed {
            // A second signal aborts the collection.
            let forced = &self.interruption.forced;
            forced.run_until_cancelled(self.diagnose()).await;
        }
    }

    /// Cleans up. The phase has its own deadline, and only a second signal interrupts it.
    async fn cleanup(&mut self) {
        let stage = Stage::from(Phase::Cleanup);
        let forced = self.interruption.forced.clone();
        let start = self.context.plan.clock.elapsed();
        let disposal = disposal(self.context.plan.keep, &self.end);
        let is_sound = is_sound(&self.end);
        let work = async {
            self.emit_started(&stage);
            self.hold(Phase::Cleanup).await;
            phases::cleanup::run(&mut self.context, disposal, is_sound).await
        };
        let Some(end) = forced.run_until_cancelled(caught(work)).await else {
            self.end.interrupted = true;
            self.skip(&stage, ABORTED.to_owned());
            return;
        };
        let end = end.flatten();
        if let (Disposal::Keep(reason), Ok(_)) = (disposal, &end) {
            // A retry would need the names that the kept cluster uses.
            self.end.left_behind = true;
            self.skip(&stage, reason.to_owned());
            return;
        }
        let duration = self.context.plan.clock.elapsed().saturating_sub(start);
        self.finish(&stage, duration, Some(end));
    }

    /// Returns immediately, unless the run is to be held in `phase`.
    async fn hold(&self, phase: Phase) {
        let notify = |text: String| self.notice(Severity::Info, &text);
        let clock = &self.context.plan.clock;
        self.interruption.hold(phase, clock, notify).await;
    }

    /// Reports the end of `stage`, and records its consequences for later stages.
    fn finish(&mut self, stage: &Stage, duration: Duration, end: StageEnd) {
        let (status, checked) = match end {
            Some(Ok(checked)) => (PhaseStatus::Passed, checked),
            Some(Err(failure)) => (self.failed(stage, failure), Checked::default()),
            None => (self.interrupted(Some(stage)), Checked::default()),
        };
        self.emit_finished(stage, status, duration, checked);
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
        let status = PhaseStatus::Skipped { reason };
        self.emit_finished(stage, status, Duration::ZERO, Checked::default());
    }

    /// Adds the likely cause to a failure, and log excerpts if an agent or the mock may be involved.
    async fn with_logs(&self, phase: Phase, end: StageEnd) -> StageEnd {
        let Some(Err(mut failure)) = end else {
            return end;
        };
        if phase >= Phase::Readiness && failure.symptom != Symptom::RunnerBug {
            let reading = evidence::with_logs(&self.context, failure.clone());
            let read = self.interruption.forced.run_until_cancelled(reading).await;
            failure = read.unwrap_or(failure);
        } else {
            failure.likely_cause = evidence::likely_cause(&self.context, &failure, None);
        }
        Some(Err(failure))
    }

    /// Collects diagnostics before the cluster is deleted.
    async fn diagnose(&self) {
        let deadline = self.context.plan.clock.deadline(DIAGNOSTICS_BUDGET);
        let failures = self.end.failures.iter();
        let reported: Vec<LogExcerpt> = failures.flat_map(|failure| failure.logs.clone()).collect();
        let collecting = caught(evidence::collect(&self.context, &reported, &deadline));
        let problem = match deadline.run(collecting).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => "the collection of diagnostics panicked",
            Err(_) => "the collection of diagnostics took too long and was aborted",
        };
        self.notice(Severity::Warning, problem);
    }

    fn notice(&self, severity: Severity, text: &str) {
        let text = format!("{}: {text}", self.context.plan.cell.id);
        self.context.events.emit(Event::Notice { severity, text });
    }

    fn emit_last_counters(&self) {
        let mock = self.context.mock.as_ref();
        if let Some(view) = mock.and_then(MockClient::view) {
            let counters = expectations::table(&view);
            self.context.emit(|cell| Event::Counters { cell, counters });
        }
    }

    fn emit_started(&self, stage: &Stage) {
        self.context.emit(|cell| Event::PhaseStarted {
            cell,
            phase: stage.phase,
            command: stage.command.clone(),
        });
    }

    fn emit_finished(
        &self,
        stage: &Stage,
        status: PhaseStatus,
        duration: Duration,
        checked: Checked,
    ) {
        let result = PhaseResult {
            phase: stage.phase,
            command: stage.command.clone(),
            // A command always runs on this machine, even if the provider simulates its phase.
            execution: match stage.command {
                Some(_) => Execution::Run,
                None => (self.execution)(stage.phase),
            },
            status,
            duration_ms: milliseconds(duration),
            evidence: checked.evidence,
            warnings: checked.warnings,
            logs: checked.logs,
        };
        let finished = |cell| Event::PhaseFinished { cell, result };
        self.context.emit(finished);
    }

    fn emit_timings(&self) {
        let steps = self.context.cluster.steps().steps();
        if !steps.is_empty() {
            self.context.emit(|cell| Event::Timings { cell, steps });
        }
    }
}

/// The result of `work`. A panic becomes a failure, because it is a bug in the runner.
async fn caught<F: Future>(work: F) -> Result<F::Output, Failure> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let message = format!("the runner panicked: {}", text.unwrap_or("no message"));
        Failure::new(Symptom::RunnerBug, message)
    })
}

/// Reports the running steps of the provider as the progress of `phase`.
fn show_steps(context: &Context, phase: Phase) -> impl Future<Output = Infallible> + use<> {
    let (events, cell) = (context.events.clone(), context.plan.cell.id.clone());
    let mut running = context.cluster.steps().running();
    async move {
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
                return std::future::pending().await;
            }
        }
    }
}

async fn run_phase(phase: Phase, context: &mut Context) -> Outcome {
    if phase > Phase::Readiness {
        context.connect(phase).await?;
    }
    let checked = checks_of(phase, context).await?;
    if !context.plan.phases.is_last_before_cleanup(phase) {
        return Ok(checked);
    }
    context.connect(phase).await?;
    phases::final_check::run(context, phase, checked).await
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
