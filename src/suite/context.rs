//! The context of a cell's phases.

use std::sync::Arc;

use super::mock::MockClient;
use crate::cluster::{CellPlan, Cleared, Cluster, NodeName};
use crate::deadline::Deadline;
use crate::event::{Emitter, Event, Evidence, Failure, LogExcerpt, Symptom};
use crate::matrix::Phase;

/// The result of the preflight checks, which is the same for all cells.
pub type Preflight = Result<Vec<Evidence>, Failure>;

/// The cell that the suite runs on.
pub(crate) struct Context {
    pub(crate) plan: Arc<CellPlan>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) events: Emitter,
    /// Created when the first phase or command needs it.
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

    /// Makes the mock reachable and starts to follow its counters, unless this has already been done.
    pub(crate) async fn connect(&mut self, deadline: &Deadline) -> Result<(), Failure> {
        if self.mock.is_none() {
            let address = self.cluster.connect(deadline).await?;
            self.mock = Some(MockClient::start(address)?);
            self.events.emit(Event::CellFacts {
                cell: self.plan.cell.id.clone(),
                facts: self.cluster.facts(),
            });
        }
        Ok(())
    }

    /// The mock's client.
    pub(crate) fn mock(&self) -> Result<&MockClient, Failure> {
        let missing = || Failure::new(Symptom::ForwardLost, "there is no connection to the mock");
        self.mock.as_ref().ok_or_else(missing)
    }

    /// Reports the progress of `phase`.
    pub(crate) fn progress(&self, phase: Phase, text: String) {
        self.events.emit(Event::PhaseProgress {
            cell: self.plan.cell.id.clone(),
            phase,
            text,
        });
    }
}
