//! The facts of a run that are known before its cells start, for its first event and for the start of further rounds.

use std::sync::Arc;

use super::cell_task::RunContext;
use super::request::RunRequest;
use crate::cluster::CellPlan;
use crate::event::{
    AxisFacts, CellSummary, CommandFacts, Event, HostFacts, RunFacts, SessionFacts,
};
use crate::machine::probe;
use crate::matrix::{Cell, Checks};

/// The first event of a run with `plans`, or of a further session.
pub(super) async fn opening(
    request: &RunRequest,
    shared: &RunContext,
    plans: &[Arc<CellPlan>],
) -> Event {
    let facts = of_run(request, shared, plans).await;
    if !request.earlier.is_resumed {
        return Event::RunStarted { facts };
    }
    Event::RunResumed {
        facts: SessionFacts {
            token: request.planner.folder.token().to_owned(),
            runner: facts.runner,
            jobs: facts.jobs,
            host: facts.host,
        },
    }
}

async fn of_run(request: &RunRequest, shared: &RunContext, plans: &[Arc<CellPlan>]) -> RunFacts {
    let provider = &request.setup.provider;
    let needs = plans.iter().map(|plan| provider.need(&plan.cell));
    let needs: Vec<_> = needs.collect();
    RunFacts {
        run: request.planner.folder.id().to_owned(),
        runner: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: request.setup.path.display().to_string(),
        filters: request.selection.filters.clone(),
        provider: provider.name().to_owned(),
        provider_reason: request.setup.provider_reason.clone(),
        jobs: shared.admission.capacity(&needs),
        flaky_result: request.setup.matrix.run.retry.flaky_result,
        host: HostFacts {
            name: probe::host_name(),
            platform: probe::platform(),
            cpus: probe::cpus(),
            memory_bytes: probe::memory().map_or(0, |memory| memory.total),
            tools: provider.tools().await,
        },
        rerun_of: request.selection.rerun_of.clone(),
        selection_digest: request.selection.digest.clone(),
        shard: request.selection.shard.clone(),
        parts: Vec::new(),
        commands: commands(&request.setup.matrix.checks),
        cells: summaries(request, plans),
    }
}

fn commands(checks: &Checks) -> Vec<CommandFacts> {
    let commands = checks.commands.iter().map(|command| CommandFacts {
        name: command.name.to_string(),
        after: command.after,
    });
    commands.collect()
}

/// The cells of `plans` in the form of events.
pub(super) fn summaries(request: &RunRequest, plans: &[Arc<CellPlan>]) -> Vec<CellSummary> {
    let repeats = request.policy.repeats();
    let summaries = plans.iter().map(|plan| summary(&plan.cell, repeats));
    summaries.collect()
}

fn summary(cell: &Cell, repeats: bool) -> CellSummary {
    let axes = cell.axes.iter().map(|coordinate| AxisFacts {
        axis: coordinate.axis().to_owned(),
        value: coordinate.value().to_owned(),
    });
    CellSummary {
        id: cell.id.clone(),
        kubernetes: cell.kubernetes.to_string(),
        nodes: cell.nodes.get(),
        config: cell.config.to_string(),
        axes: axes.collect(),
        tags: cell.tags.iter().cloned().collect(),
        allow_failure: cell.allow_failure,
        repetition: repeats.then(|| cell.id.number()),
    }
}
