//! The input of a run, and its outcome.

use std::sync::Arc;

use super::setup::Setup;
use super::{Earlier, Planner, RunPolicy};
use crate::event::{CellVerdict, FailureClass, RunVerdict, Severity, ShardFacts};
use crate::machine::{History, Resource};
use crate::matrix::CellId;
use crate::record::Sink;
use crate::suite::Interruption;

/// The selection of a run's cells.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The filters, as given.
    pub filters: Vec<String>,
    /// A hash of the matrix file and of everything that selects cells. A run can be resumed only if this hash is
    /// unchanged.
    pub digest: Option<String>,
    /// Which shard this is, if the selection is split.
    pub shard: Option<ShardFacts>,
    /// The run whose failed cells are rerun.
    pub rerun_of: Option<String>,
    /// Warnings about the selection.
    pub warnings: Vec<String>,
}

/// A run that is ready to start: everything that could be rejected has been checked.
pub(super) struct RunRequest {
    /// What to run, and where.
    pub setup: Arc<Setup>,
    /// Creates the plans of the cells.
    pub planner: Planner,
    /// The selection of the cells.
    pub selection: Selection,
    /// Repetitions, and what ends the run early.
    pub policy: RunPolicy,
    /// Notices for the start of the run.
    pub notices: Vec<(Severity, String)>,
    /// How long cells took on this machine before.
    pub history: History,
    /// What is known from earlier sessions, if the run is resumed.
    pub earlier: Earlier,
    /// The interruption of the run.
    pub interruption: Interruption,
    /// The sinks for events.
    pub sinks: Vec<Box<dyn Sink>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The verdict.
    pub verdict: RunVerdict,
    /// The class of the first failure, in matrix order.
    pub class: Option<FailureClass>,
    /// The verdict of each cell in matrix order, including repetitions, with the reason if it didn't pass.
    pub cells: Vec<(CellId, CellVerdict, Option<String>)>,
    /// The resources that should have been deleted, but may still exist.
    pub left: Vec<Resource>,
}
