//! Cleans what a record brings of foreign text, so that no report has to think of it.

use crate::event::{CellFacts, Evidence, Failure, HostFacts, LogTail, NodeCounters, RunFacts};
use crate::report::xml_text::clean;

pub(super) fn failure(raw: &Failure) -> Failure {
    Failure {
        symptom: raw.symptom,
        message: clean(&raw.message),
        remedy: raw.remedy.as_deref().map(clean),
        evidence: evidence(&raw.evidence),
        logs: logs(&raw.logs),
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

pub(super) fn logs(raw: &[LogTail]) -> Vec<LogTail> {
    raw.iter()
        .map(|log| LogTail {
            source: clean(&log.source),
            lines: texts(&log.lines),
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
        host: HostFacts {
            name: clean(&raw.host.name),
            platform: clean(&raw.host.platform),
            cpus: raw.host.cpus,
            memory_bytes: raw.host.memory_bytes,
            tools: texts(&raw.host.tools),
        },
        cells: raw.cells.clone(),
    }
}

pub(super) fn cell_facts(raw: &CellFacts) -> CellFacts {
    CellFacts {
        server_version: raw.server_version.as_deref().map(clean),
        nodes: texts(&raw.nodes),
        agent: clean(&raw.agent),
        mock: clean(&raw.mock),
        address: raw.address.as_deref().map(clean),
        tuning: texts(&raw.tuning),
    }
}

/// Node names in here are what agents registered under, so they may be anything.
pub(super) fn counters(raw: &NodeCounters) -> NodeCounters {
    let nodes = raw.nodes.iter();
    NodeCounters {
        total: raw.total.clone(),
        nodes: nodes
            .map(|(node, table)| (clean(node), table.clone()))
            .collect(),
    }
}
