//! Cleans foreign text in events, so that reports don't have to.

use crate::event::{
    AxisFacts, CellFacts, CellSummary, CommandFacts, Evidence, Failure, HostFacts, LikelyCause,
    LogExcerpt, NodeCounters, PartFacts, RunFacts, SessionFacts,
};
use crate::record::xml_text::clean;

pub(super) fn failure(raw: &Failure) -> Failure {
    Failure {
        symptom: raw.symptom,
        message: clean(&raw.message),
        remedy: raw.remedy.as_deref().map(clean),
        likely_cause: raw.likely_cause.as_deref().map(likely_cause).map(Box::new),
        evidence: evidence(&raw.evidence),
        logs: logs(&raw.logs),
    }
}

fn likely_cause(raw: &LikelyCause) -> LikelyCause {
    LikelyCause {
        rule: clean(&raw.rule),
        message: clean(&raw.message),
        line: clean(&raw.line),
        fix: clean(&raw.fix),
    }
}

pub(super) fn evidence(raw: &[Evidence]) -> Vec<Evidence> {
    raw.iter()
        .map(|one| Evidence {
            node: one.node.as_deref().map(clean),
            subject: clean(&one.subject),
            expected: clean(&one.expected),
            seen: clean(&one.seen),
            holds: one.holds,
        })
        .collect()
}

pub(super) fn logs(raw: &[LogExcerpt]) -> Vec<LogExcerpt> {
    raw.iter()
        .map(|log| LogExcerpt {
            source: clean(&log.source),
            lines: texts(&log.lines),
            file: log.file.clone(),
        })
        .collect()
}

pub(super) fn texts(raw: &[String]) -> Vec<String> {
    raw.iter().map(|text| clean(text)).collect()
}

pub(super) fn run_facts(raw: &RunFacts) -> RunFacts {
    RunFacts {
        run: clean(&raw.run),
        runner: clean(&raw.runner),
        matrix: clean(&raw.matrix),
        filters: texts(&raw.filters),
        provider: clean(&raw.provider),
        provider_reason: raw.provider_reason.as_deref().map(clean),
        jobs: raw.jobs,
        flaky_result: raw.flaky_result,
        host: host(&raw.host),
        rerun_of: raw.rerun_of.as_deref().map(clean),
        selection_digest: raw.selection_digest.clone(),
        shard: raw.shard.clone(),
        parts: raw.parts.iter().map(part).collect(),
        commands: raw.commands.iter().map(command).collect(),
        cells: raw.cells.clone(),
    }
}

fn command(raw: &CommandFacts) -> CommandFacts {
    CommandFacts {
        name: clean(&raw.name),
        after: raw.after,
    }
}

pub(super) fn summary(raw: &CellSummary) -> CellSummary {
    let axis = |raw: &AxisFacts| AxisFacts {
        axis: clean(&raw.axis),
        value: clean(&raw.value),
    };
    CellSummary {
        kubernetes: clean(&raw.kubernetes),
        config: clean(&raw.config),
        axes: raw.axes.iter().map(axis).collect(),
        tags: texts(&raw.tags),
        ..raw.clone()
    }
}

fn part(raw: &PartFacts) -> PartFacts {
    PartFacts {
        run: clean(&raw.run),
        host: clean(&raw.host),
        shard: raw.shard.clone(),
        duration_ms: raw.duration_ms,
        cells: raw.cells.clone(),
    }
}

fn host(raw: &HostFacts) -> HostFacts {
    HostFacts {
        name: clean(&raw.name),
        platform: clean(&raw.platform),
        cpus: raw.cpus,
        memory_bytes: raw.memory_bytes,
        tools: texts(&raw.tools),
    }
}

pub(super) fn session_facts(raw: &SessionFacts) -> SessionFacts {
    SessionFacts {
        token: clean(&raw.token),
        runner: clean(&raw.runner),
        jobs: raw.jobs,
        host: host(&raw.host),
    }
}

pub(super) fn cell_facts(raw: &CellFacts) -> CellFacts {
    CellFacts {
        server_version: raw.server_version.as_deref().map(clean),
        nodes: texts(&raw.nodes),
        node_prefix: raw.node_prefix.as_deref().map(clean),
        agent: clean(&raw.agent),
        mock: clean(&raw.mock),
        address: raw.address.as_deref().map(clean),
        tuning: texts(&raw.tuning),
    }
}

/// The node names are the names that agents registered under, so they can be anything.
pub(super) fn counters(raw: &NodeCounters) -> NodeCounters {
    let nodes = raw.nodes.iter();
    NodeCounters {
        total: raw.total.clone(),
        nodes: nodes
            .map(|(node, table)| (clean(node), table.clone()))
            .collect(),
    }
}
