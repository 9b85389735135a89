//! The context of a cell's phases.

use std::sync::Arc;

use super::mock::MockClient;
use crate::cluster::{CellPlan, Cleared, Cluster, NodeName};
use crate::deadline::Deadline;
use crate::event::{Emitter, Event, Evidence, Failure, LogExcerpt, Symptom};
use crate::matrix::{CellId, Phase};

/// The result of the preflight checks, which is the same for all cells.
pub type Preflight = Result<Vec<Evidence>, Failure>;

/// The cell that the suite runs on.
pub(crate) struct Context {
    pub(crate) plan: Arc<CellPlan>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) events: Emitter,
    /// The mock's client, which is created when the first phase or command needs it.
    pub(crate) mock: Option<MockClient>,
}

/// The results of a passed phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) warnings: Vec<String>,
    pub(crate) logs: Vec<LogExcerpt>,
}

impl From<Vec<Evidence>> for Checked {
    fn from(evidence: Vec<Evidence>) -> Self {
        Self {
            evidence,
            ..Self::default()
        }
    }
}

impl From<Cleared> for Checked {
    fn from(cleared: Cleared) -> Self {
        Self {
            evidence: cleared.evidence,
            warnings: cleared.warnings,
            ..Self::default()
        }
    }
}

/// The result of a phase.
pub(crate) type Outcome = Result<Checked, Failure>;

impl Context {
    /// The deadline of `phase`, counted from now.
    pub(crate) fn deadline(&self, phase: Phase) -> Deadline {
        self.plan.clock.deadline(self.plan.phases[phase].timeout)
    }

    /// The cell's nodes, control plane first.
    pub(crate) fn nodes(&self) -> Vec<NodeName> {
        self.cluster.nodes()
    }

    /// Makes the mock reachable and starts to follow its counters, unless this has already been done. Uses the deadline
    /// of `phase`.
    pub(crate) async fn connect(&mut self, phase: Phase) -> Result<(), Failure> {
        if self.mock.is_none() {
            let address = self.cluster.connect(&self.deadline(phase)).await?;
            self.mock = Some(MockClient::start(address)?);
            self.emit_facts();
        }
        Ok(())
    }

    /// The mock's client.
    pub(crate) fn mock(&self) -> Result<&MockClient, Failure> {
        let missing = || Failure::new(Symptom::ForwardLost, "there is no connection to the mock");
        self.mock.as_ref().ok_or_else(missing)
    }

    /// Emits an event of the cell.
    pub(crate) fn emit(&self, event: impl FnOnce(CellId) -> Event) {
        self.events.emit(event(self.plan.cell.id.clone()));
    }

    /// Reports what is known about the cluster.
    pub(crate) fn emit_facts(&self) {
        let facts = self.cluster.facts();
        self.emit(|cell| Event::CellFacts { cell, facts });
    }

    /// Reports the progress of `phase`.
    pub(crate) fn progress(&self, phase: Phase, text: String) {
        self.emit(|cell| Event::PhaseProgress { cell, phase, text });
    }
}
