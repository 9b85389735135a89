//! The record of a run: one event per line, with version, time and number.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{CellVerdict, NodeCounters, PhaseResult, RunVerdict, Termination};
use crate::matrix::{CellId, FlakyResult, Phase};

/// The version of the record's format. A reader rejects a record of a newer version.
pub const VERSION: u32 = 1;

/// The JSON Schema of one line of `events.ndjson`, generated from the event types.
pub fn schema() -> Schema {
    schema_for!(Record)
}

/// One line of `events.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The version of the format.
    pub version: u32,
    /// The number of the event, starting at 0.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The attempt of an event that was written before cells could be retried.
const fn first_attempt() -> u32 {
    1
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The first event of every run.
    RunStarted {
        /// Everything that is known before the first cell.
        facts: RunFacts,
    },
    /// Another process resumes a run that was killed or interrupted. Cells that already have a verdict of the suite
    /// keep it; the others start again.
    RunResumed {
        /// The facts that may differ between sessions.
        facts: SessionFacts,
    },
    /// A notice about the run as a whole.
    Notice {
        /// The severity.
        severity: Severity,
        /// One sentence or a few lines.
        text: String,
    },
    /// Cells are added to the run after its start: the next round of a run that repeats until a cell fails.
    CellsAdded {
        /// The cells, in order.
        cells: Vec<CellSummary>,
    },
    /// A cell waits before it starts; for display only.
    CellWaiting {
        /// The cell.
        cell: CellId,
        /// The reason, in a few words.
        text: String,
    },
    /// A cell starts, or starts again. If its previous attempt was retried, the earlier events of the cell belong to
    /// that attempt. Otherwise the run was killed during that attempt, which doesn't count.
    CellStarted {
        /// The cell.
        cell: CellId,
        /// The name of its cluster.
        cluster: String,
        /// The number of the attempt, starting at 1.
        #[serde(default = "first_attempt")]
        attempt: u32,
    },
    /// Facts about a cell's cluster, as soon as they are known.
    CellFacts {
        /// The cell.
        cell: CellId,
        /// The facts.
        facts: CellFacts,
    },
    /// A phase, or a command after it, starts.
    PhaseStarted {
        /// The cell.
        cell: CellId,
        /// The phase.
        phase: Phase,
        /// The command of the matrix file; absent if this is the phase itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<String>,
    },
    /// The progress of a phase, for display.
    PhaseProgress {
        /// The cell.
        cell: CellId,
        /// The phase.
        phase: Phase,
        /// A few words.
        text: String,
    },
    /// A phase, or a command after it, has ended.
    PhaseFinished {
        /// The cell.
        cell: CellId,
        /// The result.
        result: PhaseResult,
    },
    /// Diagnostics were written.
    Diagnostics {
        /// The cell.
        cell: CellId,
        /// The files, relative to the run's folder.
        files: Vec<String>,
        /// Excerpts from these files, for the reports.
        quotes: Vec<super::LogExcerpt>,
    },
    /// The last counters of a cell's mock.
    Counters {
        /// The cell.
        cell: CellId,
        /// The counters.
        counters: NodeCounters,
    },
    /// A cell's cluster is kept unchanged after the cell has ended.
    CellKept {
        /// The cell.
        cell: CellId,
        /// The commands to inspect the cluster and to delete it.
        commands: Vec<String>,
    },
    /// The steps of a cell that overlap phases, measured by the provider.
    Timings {
        /// The cell.
        cell: CellId,
        /// The steps, in order of their start.
        steps: Vec<Step>,
    },
    /// An attempt at a cell failed and is retried. The events of the cell since its last start belong to this attempt.
    CellRetried {
        /// The cell.
        cell: CellId,
        /// The number of the attempt that failed, starting at 1.
        attempt: u32,
        /// Its verdict.
        verdict: CellVerdict,
        /// The reason, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The load of the machine when it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<MachineLoad>,
        /// The delay before the next attempt, in milliseconds.
        wait_ms: u64,
    },
    /// A cell has ended, or was never started.
    CellFinished {
        /// The cell.
        cell: CellId,
        /// Its verdict.
        verdict: CellVerdict,
        /// Whether the cell was skipped because it can't run here, for example because its node image is missing. Every
        /// other skipped cell did not start because the run ended early.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cannot_run: bool,
        /// The reason, if the cell didn't pass: the first failure, or why it was skipped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took in milliseconds, including earlier attempts and the delays between them.
        duration_ms: u64,
        /// The load of the machine when it ended; absent if the cell was never started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<MachineLoad>,
    },
    /// A signal or the run timeout ends the run.
    Interrupted {
        /// The signal or the timeout.
        by: Termination,
    },
    /// The last event of every run that wasn't killed.
    RunFinished {
        /// The verdict.
        verdict: RunVerdict,
        /// How long the run took, in milliseconds.
        duration_ms: u64,
    },
}

impl Event {
    /// The cell that the event concerns; `None` if it concerns the run.
    pub const fn cell(&self) -> Option<&CellId> {
        match self {
            Self::CellWaiting { cell, .. }
            | Self::CellStarted { cell, .. }
            | Self::CellFacts { cell, .. }
            | Self::PhaseStarted { cell, .. }
            | Self::PhaseProgress { cell, .. }
            | Self::PhaseFinished { cell, .. }
            | Self::Diagnostics { cell, .. }
            | Self::Counters { cell, .. }
            | Self::CellKept { cell, .. }
            | Self::Timings { cell, .. }
            | Self::CellRetried { cell, .. }
            | Self::CellFinished { cell, .. } => Some(cell),
            Self::RunStarted { .. }
            | Self::RunResumed { .. }
            | Self::Notice { .. }
            | Self::CellsAdded { .. }
            | Self::Interrupted { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// The severity of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For information.
    Info,
    /// A possible problem.
    Warning,
}

/// Reads a name that becomes part of a path, and rejects it unless it is a plain file name.
fn file_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const MAX_LENGTH: usize = 255;
    let name = String::deserialize(deserializer)?;
    let is_special = matches!(&*name, "" | "." | "..") || name.len() > MAX_LENGTH;
    if is_special || name.contains(|c: char| c == '/' || c.is_control()) {
        let shown: String = name.chars().take(80).collect();
        return Err(D::Error::custom(format!(
            "expected the name of a file or folder, not {shown:?}"
        )));
    }
    Ok(name)
}

/// The facts of a run that are known before its first cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// The run's id, which is also the name of its folder.
    #[serde(deserialize_with = "file_name")]
    pub run: String,
    /// The runner's version.
    pub runner: String,
    /// The matrix file, as given.
    pub matrix: String,
    /// The filters, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// `kind`, `local` or `existing`.
    pub provider: String,
    /// Why this provider was chosen, if it wasn't requested by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// How many cells run at once.
    pub jobs: usize,
    /// How a cell that passed on a retry counts.
    #[serde(default)]
    pub flaky_result: FlakyResult,
    /// The machine.
    pub host: HostFacts,
    /// The run whose failed cells this run repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// A hash of the matrix file and of all options that select cells. A run can be resumed only with the same hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_digest: Option<String>,
    /// The shard of the selection that this run executes, if the selection is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// The runs that were merged into this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartFacts>,
    /// The commands of the matrix file, which every cell runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandFacts>,
    /// The selected cells, in order.
    pub cells: Vec<CellSummary>,
}

/// A command of the matrix file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CommandFacts {
    /// Its name, which differs from the names of all phases and of other commands.
    pub name: String,
    /// The phase that it follows.
    pub after: Phase,
}

/// One shard of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardFacts {
    /// The number of the shard, starting at 1.
    pub index: u32,
    /// How many shards there are.
    pub count: u32,
    /// How many cells the whole selection has. Shards with a higher number are empty.
    pub cells: usize,
    /// A hash of the whole selection and its estimated durations, which is the same for all shards of a selection.
    pub digest: String,
}

/// A run whose results were merged into this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartFacts {
    /// Its id.
    pub run: String,
    /// The name of its machine.
    pub host: String,
    /// The shard that it executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The cells whose results come from this run.
    pub cells: Vec<CellId>,
}

/// The facts of a session that resumes a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionFacts {
    /// The token that distinguishes the session's resources from all others.
    #[serde(deserialize_with = "file_name")]
    pub token: String,
    /// The runner's version.
    pub runner: String,
    /// How many cells run at once.
    pub jobs: usize,
    /// The machine.
    pub host: HostFacts,
}

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Its name.
    pub name: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub platform: String,
    /// The number of processors that the run may use.
    pub cpus: usize,
    /// Memory in bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// The versions of the container engine and of kind, if they are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// A selected cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellSummary {
    /// Its id.
    pub id: CellId,
    /// Its Kubernetes version.
    pub kubernetes: String,
    /// Its number of nodes.
    pub nodes: usize,
    /// Its config variant.
    pub config: String,
    /// Its values on the further axes, in the order of the matrix file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<AxisFacts>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether the cell is allowed to fail without changing the exit code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// The number of the repetition, starting at 1; absent if the run doesn't repeat cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<u32>,
}

/// A cell's value on an axis that the matrix file adds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct AxisFacts {
    /// The axis.
    pub axis: String,
    /// The value.
    pub value: String,
}

/// The load of the machine when a cell ended: overload causes failures that aren't the product's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineLoad {
    /// The load average over one minute, in hundredths: 250 means that 2.5 processes were running or runnable.
    pub average_hundredths: u64,
    /// CPU pressure: the share of the last ten seconds in which at least one process waited for a processor, in
    /// percent; absent if the kernel doesn't report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_percent: Option<u64>,
    /// Available memory, in bytes.
    pub memory_available_bytes: u64,
    /// How many cells of this run were running, including this one.
    pub cells: usize,
}

/// Facts about a cell's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellFacts {
    /// The version that the API server reports; absent if there is no Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The nodes, control plane first.
    pub nodes: Vec<String>,
    /// The common prefix of the node names, which reports omit. If absent, it is the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_prefix: Option<String>,
    /// The agent's image with its digest, or the local program.
    pub agent: String,
    /// The mock's image with its digest, or the local program.
    pub mock: String,
    /// The address at which the mock is reached from the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The changes to kind's defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuning: Vec<String>,
}

/// A step that may overlap phases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// When it began, in milliseconds after the start of the cell.
    pub start_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file_name(name: &str) -> Result<String, String> {
        super::file_name(json!(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_is_not_a_plain_file_name_is_rejected() {
        let longest = "n".repeat(255);
        for name in ["a", "2026-01-01T00-00-00Z-abcde", "...", &longest] {
            assert_eq!(file_name(name), Ok(name.to_owned()));
        }
        let too_long = "n".repeat(256);
        for name in ["", ".", "..", "/", "a/b", "../a", "a\nb", "a\0", &too_long] {
            let error = file_name(name).unwrap_err();
            assert!(
                error.starts_with("expected the name of a file or folder"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_event_without_an_attempt_belongs_to_the_first_attempt() {
        let event = json!({"type": "cell-started", "cell": "k8s-1.36-n1-default", "cluster": "c"});
        let event: Event = serde_json::from_value(event).unwrap();
        assert!(
            matches!(event, Event::CellStarted { attempt: 1, .. }),
            "{event:?}"
        );
        assert_eq!(
            event.cell().map(ToString::to_string).as_deref(),
            Some("k8s-1.36-n1-default")
        );
    }
}
