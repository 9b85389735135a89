//! The record of a run: one event a line, versioned, stamped and numbered.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{CellVerdict, Failure, NodeCounters, PhaseResult, RunVerdict, Termination};
use crate::matrix::{CellId, FlakyResult, Phase};

/// The version of the record's format. A reader refuses a record of a newer one.
pub const VERSION: u32 = 1;

/// One line of `events.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`VERSION`] at the time of writing.
    pub version: u32,
    /// 0 for the first event of a run, then one more each.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What an event says that was written before cells could be retried.
const fn first_attempt() -> u32 {
    1
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The first event of every run.
    RunStarted {
        /// Everything that is known before the first cell.
        facts: RunFacts,
    },
    /// A run that was killed or interrupted goes on, in another process. Cells that had a verdict of their own keep it; the others
    /// begin again.
    RunResumed {
        /// What may differ from the session before.
        facts: SessionFacts,
    },
    /// Something to know that belongs to the run and to no cell.
    Notice {
        /// How important.
        severity: Severity,
        /// One sentence or a few lines.
        text: String,
    },
    /// Cells that join the run after its beginning: the next round of a run that repeats until something fails.
    CellsAdded {
        /// Which, in their order.
        cells: Vec<CellSummary>,
    },
    /// A cell begins, or begins again. What was said of it before belongs to the attempt before, where that was retried; where it was
    /// not, the run was killed in the middle of it, and it counts for nothing.
    CellStarted {
        /// Which.
        cell: CellId,
        /// The name of its cluster.
        cluster: String,
        /// Which attempt, from 1.
        #[serde(default = "first_attempt")]
        attempt: u32,
    },
    /// What is known of a cell's cluster, once it is known.
    CellFacts {
        /// Which cell.
        cell: CellId,
        /// What.
        facts: CellFacts,
    },
    /// A phase begins, or a command after it.
    PhaseStarted {
        /// Of which cell.
        cell: CellId,
        /// Which.
        phase: Phase,
        /// The command of the matrix file, if it is not the phase itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<String>,
    },
    /// How far a phase is, for people who watch.
    PhaseProgress {
        /// Of which cell.
        cell: CellId,
        /// Which.
        phase: Phase,
        /// A few words.
        text: String,
    },
    /// A phase has ended, or a command after it.
    PhaseFinished {
        /// Of which cell.
        cell: CellId,
        /// How.
        result: PhaseResult,
    },
    /// Diagnostics were written.
    Diagnostics {
        /// Of which cell.
        cell: CellId,
        /// The files, relative to the run's folder.
        files: Vec<String>,
        /// What the report quotes of them.
        quotes: Vec<super::LogExcerpt>,
    },
    /// The counters that a cell's mock had, read for the last time.
    Counters {
        /// Of which cell.
        cell: CellId,
        /// The counters.
        counters: NodeCounters,
    },
    /// A cell's place stays after its end, as it is.
    CellKept {
        /// Of which cell.
        cell: CellId,
        /// By which people look inside, and in the end take it away.
        commands: Vec<String>,
    },
    /// Where a cell's time went: work that overlaps phases, measured by the provider.
    Timings {
        /// Of which cell.
        cell: CellId,
        /// The steps, in order of their start.
        steps: Vec<Step>,
    },
    /// An attempt at a cell ended red, and another one follows. What was said of the cell since its start belongs to this attempt.
    CellRetried {
        /// Which.
        cell: CellId,
        /// Which attempt ended, from 1.
        attempt: u32,
        /// How.
        verdict: CellVerdict,
        /// Why, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// What the machine was doing when it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<MachineLoad>,
        /// How long the next attempt waits, in milliseconds.
        wait_ms: u64,
    },
    /// A cell has ended, or was never started.
    CellFinished {
        /// Which.
        cell: CellId,
        /// How.
        verdict: CellVerdict,
        /// Why, where it is not green: the first failure, or the reason of the skip.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took in milliseconds, every attempt and the waits between them included.
        duration_ms: u64,
        /// What the machine was doing when it ended; none for a cell that was never started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<MachineLoad>,
    },
    /// A signal asked the run to end, or its time is up.
    Interrupted {
        /// Which.
        by: Termination,
    },
    /// A failure that belongs to the run and to no cell.
    RunFailed {
        /// What.
        failure: Failure,
    },
    /// The last event of every run that ended on its own feet.
    RunFinished {
        /// How.
        verdict: RunVerdict,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
}

impl Event {
    /// The cell that it is about; none where it is about the run.
    pub const fn cell(&self) -> Option<&CellId> {
        match self {
            Self::CellStarted { cell, .. }
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
            | Self::RunFailed { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// How important a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Warning,
}

/// A text that becomes a path. One that is no plain name leads elsewhere.
fn file_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const MOST: usize = 255;
    let name = String::deserialize(deserializer)?;
    let is_special = matches!(&*name, "" | "." | "..") || name.len() > MOST;
    if is_special || name.contains(|c: char| c == '/' || c.is_control()) {
        let shown: String = name.chars().take(80).collect();
        return Err(D::Error::custom(format!(
            "expected a name of a file or folder, not {shown:?}"
        )));
    }
    Ok(name)
}

/// What is known of a run before its first cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// The run's id, which is also its folder's name.
    #[serde(deserialize_with = "file_name")]
    pub run: String,
    /// The runner's version.
    pub runner: String,
    /// The matrix file, as it was named.
    pub matrix: String,
    /// The filters, as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// `kind`, `local` or `existing`.
    pub provider: String,
    /// Why that one, where it was not asked for by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// How many cells run at once.
    pub jobs: usize,
    /// What a cell that passed on a retry counts for.
    #[serde(default)]
    pub flaky_result: FlakyResult,
    /// The machine.
    pub host: HostFacts,
    /// The run whose cells that were not green this one runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// A hash over the matrix file and everything that selected the cells: a run goes on only where it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_digest: Option<String>,
    /// Which part of the selection this run is, where it was split over machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// The runs that were merged into this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartFacts>,
    /// The commands of the matrix file, which every cell runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandFacts>,
    /// The selected cells, in their order.
    pub cells: Vec<CellSummary>,
}

/// A command of the matrix file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandFacts {
    /// Its name, which no other command and no phase has.
    pub name: String,
    /// The phase that it follows.
    pub after: Phase,
}

/// One shard of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardFacts {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// How many cells the whole selection has: shards of a higher number are empty.
    pub cells: usize,
    /// A hash over the whole selection and its estimates: shards that belong together have the same.
    pub digest: String,
}

/// A run that was merged into another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartFacts {
    /// Its id.
    pub run: String,
    /// The name of its machine.
    pub host: String,
    /// Which shard it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The cells that are told as it saw them.
    pub cells: Vec<CellId>,
}

/// What is known of a session that goes on with a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionFacts {
    /// What tells the session's resources from every other's.
    #[serde(deserialize_with = "file_name")]
    pub token: String,
    /// The runner's version.
    pub runner: String,
    /// How many cells run at once.
    pub jobs: usize,
    /// The machine.
    pub host: HostFacts,
}

/// The machine that a run ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Its name.
    pub name: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub platform: String,
    /// Processors that the run may use.
    pub cpus: usize,
    /// Memory in bytes; 0 where it can't be told.
    pub memory_bytes: u64,
    /// Container engine and kind, with their versions, where they are used.
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
    /// A red result does not change the exit code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// Which repetition of its cell it is, from 1; none in a run that repeats nothing.
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

/// What the machine was doing when a cell ended: an overloaded one makes failures that are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineLoad {
    /// The load average over one minute, in hundredths: 250 are two and a half processes that run or want to.
    pub average_hundredths: u64,
    /// The share of the last ten seconds in which something waited for a processor, in percent; none where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_percent: Option<u64>,
    /// Memory that was free to use, in bytes.
    pub memory_available_bytes: u64,
    /// Cells of this run that ran then, this one included.
    pub cells: usize,
}

/// What is known of a cell's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellFacts {
    /// What the API server says it is; none where no Kubernetes was exercised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The nodes, control plane first.
    pub nodes: Vec<String>,
    /// The agent's image, with its digest, or the program that stands for it.
    pub agent: String,
    /// The mock's.
    pub mock: String,
    /// The address at which the mock is reached from the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was changed of kind's defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuning: Vec<String>,
}

/// A piece of work that may overlap phases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What.
    pub name: String,
    /// When it began, in milliseconds after the cell's start.
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
    fn a_name_that_is_no_plain_file_name_is_refused() {
        let longest = "n".repeat(255);
        for name in ["a", "2026-01-01T00-00-00Z-abcde", "...", &longest] {
            assert_eq!(file_name(name), Ok(name.to_owned()));
        }
        let too_long = "n".repeat(256);
        for name in ["", ".", "..", "/", "a/b", "../a", "a\nb", "a\0", &too_long] {
            let error = file_name(name).unwrap_err();
            assert!(
                error.starts_with("expected a name of a file or folder"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_event_from_before_retries_is_of_the_first_attempt() {
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
