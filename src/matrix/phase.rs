//! The phases of the suite: their names, their order, and the settings that the file may change.

use std::ops::{Index, IndexMut};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named;

named! {
    /// A phase of the suite. The order of the variants is the order in which they run.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
    )]
    #[serde(rename_all = "kebab-case")]
    pub enum Phase {
        /// Everything that the provider needs is available. Checked once per run.
        Preflight = "preflight",
        /// The cell's cluster is up, with the version and nodes that the axes require.
        Cluster = "cluster",
        /// The images are on every node.
        Images = "images",
        /// Every object is applied, in order.
        Manifests = "manifests",
        /// The mock is available, and an agent is ready on every node.
        Readiness = "readiness",
        /// The platform counters reach their minimum.
        Assertions = "assertions",
        /// The bodies that the agents sent have the required content.
        RequestBodies = "request-bodies",
        /// The agents repeat their periodic calls.
        Periodic = "periodic",
        /// A deleted agent comes back as the same node.
        Restart = "restart",
        /// The agents post to the local endpoint, with a token that they decrypted.
        LocalEndpoint = "local-endpoint",
        /// Nothing of the cell is left.
        Cleanup = "cleanup",
    }
}

impl Phase {
    /// The default settings of the phase. By default, only phases that involve nothing but the infrastructure are
    /// retried, and only after infrastructure failures.
    const fn defaults(self) -> PhaseSetting {
        let (seconds, retries) = match self {
            Self::Preflight => (30, 0),
            Self::Cluster | Self::Images => (180, 1),
            Self::Readiness => (120, 0),
            Self::RequestBodies => (10, 0),
            Self::Manifests
            | Self::Assertions
            | Self::Periodic
            | Self::Restart
            | Self::LocalEndpoint
            | Self::Cleanup => (60, 0),
        };
        PhaseSetting {
            timeout: Duration::from_secs(seconds),
            retries,
            runs: true,
        }
    }

    /// Whether the file may turn the phase off. The phases up to `readiness` and `cleanup` are required: without them,
    /// a cell would have no agents to check, or would leave something behind.
    pub fn can_be_turned_off(self) -> bool {
        Self::Readiness < self && self < Self::Cleanup
    }

    /// Whether commands can follow the phase: they need the agents and the mock, which run from `readiness` to
    /// `cleanup`.
    pub fn can_be_followed(self) -> bool {
        Self::Readiness <= self && self < Self::Cleanup
    }

    /// The reason for skipping the phase if the file turns it off.
    pub fn turned_off(self) -> String {
        format!("the matrix file has `run = false` under `[phases.{self}]`")
    }
}

named! {
    /// Which agents `restart` deletes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum RestartScope {
        /// One agent.
        #[default]
        One = "one",
        /// Every agent, at the same time.
        All = "all",
    }
}

/// The `[phases.*]` tables, with defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseSettings {
    /// The settings of each phase, in order.
    phases: [PhaseSetting; Phase::ALL.len()],
    /// `readiness.mock-timeout`: the timeout for the mock's Deployment.
    pub mock_timeout: Duration,
    /// `restart.agents`: which agents are restarted.
    pub restart: RestartScope,
}

/// The settings that every phase has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseSetting {
    /// The timeout of the phase; in `restart`, the timeout of each of its three waits.
    pub timeout: Duration,
    /// How many times a cell that failed in the phase is retried. The run's retries may allow more, or turn off all
    /// retries.
    pub retries: u32,
    /// Whether the phase runs.
    pub runs: bool,
}

impl Default for PhaseSettings {
    fn default() -> Self {
        Self {
            phases: Phase::ALL.map(Phase::defaults),
            mock_timeout: Duration::from_secs(60),
            restart: RestartScope::One,
        }
    }
}

impl Index<Phase> for PhaseSettings {
    type Output = PhaseSetting;

    fn index(&self, phase: Phase) -> &PhaseSetting {
        &self.phases[phase as usize]
    }
}

impl IndexMut<Phase> for PhaseSettings {
    fn index_mut(&mut self, phase: Phase) -> &mut PhaseSetting {
        &mut self.phases[phase as usize]
    }
}

impl PhaseSettings {
    /// Whether `phase` is the last one that runs before `cleanup`.
    pub fn is_last_before_cleanup(&self, phase: Phase) -> bool {
        let mut checks = Phase::ALL.into_iter().rev();
        let last = checks.find(|phase| *phase != Phase::Cleanup && self[*phase].runs);
        last == Some(phase)
    }
}
