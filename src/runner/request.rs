//! What a run is asked to do, and what came of it.

use std::path::PathBuf;

use super::{Chosen, Course, Earlier, Planner};
use crate::event::{CellVerdict, FailureClass, RunVerdict, Severity, ShardFacts};
use crate::machine::{History, Resource, StateFolder};
use crate::matrix::{Cell, CellId, Jobs, PortRange, RetrySettings};
use crate::record::Sink;
use crate::suite::Interruption;

/// What selected the cells of a run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The filters, as they were given.
    pub filters: Vec<String>,
    /// A hash over the matrix file and everything that selects: a run goes on only where it is the same.
    pub digest: Option<String>,
    /// Which part of the selection this is, where it was split over machines.
    pub shard: Option<ShardFacts>,
    /// The run whose cells that were not green are run again.
    pub rerun_of: Option<String>,
}

/// A run, ready to begin: everything that could be refused has been looked at.
pub(super) struct RunRequest {
    /// The matrix file, as it was named.
    pub matrix: PathBuf,
    /// What selected the cells.
    pub selection: Selection,
    /// Where cells run.
    pub provider: Chosen,
    /// How many at once.
    pub jobs: Jobs,
    /// Forwarded ports.
    pub ports: PortRange,
    /// When a cell is retried.
    pub retry: RetrySettings,
    /// How often the run goes round, and what ends it early.
    pub course: Course,
    /// What there is to know before the first cell.
    pub notices: Vec<(Severity, String)>,
    /// How long cells took before on this machine.
    pub history: History,
    /// What is known of earlier sessions, where the run goes on.
    pub earlier: Earlier,
    /// The selected cells.
    pub cells: Vec<Cell>,
    /// What makes their plans.
    pub planner: Planner,
    /// Where ledgers and locks are.
    pub state: StateFolder,
    /// What ends the run early.
    pub interruption: Interruption,
    /// Where events go.
    pub sinks: Vec<Box<dyn Sink>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The verdict.
    pub verdict: RunVerdict,
    /// The class of the first failure, in the cells' order.
    pub class: Option<FailureClass>,
    /// Each cell's, in their order, repetitions included, with the reason where it is not green.
    pub cells: Vec<(CellId, CellVerdict, Option<String>)>,
    /// What is still there of it, and should not be.
    pub left: Vec<Resource>,
}
