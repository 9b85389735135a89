//! A config variant: what one value of the `config` axis changes.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::environment::Place;
use super::{ConfigName, Counter, FromEnv};

/// One value of the `config` axis. `default` without a table is the seed's configuration, unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// Its name on the axis.
    pub name: ConfigName,
    /// Merged over the agent's base configuration, key by key.
    pub agent: Map<String, Value>,
    /// What the counters must reach, per node.
    pub expect: Expectations,
    /// The agent container's additional environment.
    pub env: BTreeMap<String, String>,
    /// What of `agent` and `env` comes from the runner's environment, until [`super::resolve`] puts it there.
    pub from_env: Vec<FromEnv<Place>>,
    /// What goes into kind's own configuration file; wins over everything that is put there by default.
    pub kind: Map<String, Value>,
}

/// What one counter must come to, per node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This much or more; 0 = no minimum.
    AtLeast(u64),
    /// This much, no more and no less, when its phase ends and again before `cleanup`.
    Exactly(u64),
    /// Anything: reported, and not judged.
    Any,
}

impl Expectation {
    /// How [`Self::Any`] reads in reports.
    pub const NOT_CHECKED: &str = "any (not checked)";

    /// The least value that satisfies it.
    pub const fn minimum(self) -> u64 {
        match self {
            Self::AtLeast(minimum) | Self::Exactly(minimum) => minimum,
            Self::Any => 0,
        }
    }

    /// The same for all of `nodes` nodes together.
    #[must_use]
    pub const fn scaled(self, nodes: usize) -> Self {
        let nodes = nodes as u64;
        match self {
            Self::AtLeast(minimum) => Self::AtLeast(minimum.saturating_mul(nodes)),
            Self::Exactly(value) => Self::Exactly(value.saturating_mul(nodes)),
            Self::Any => Self::Any,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(minimum) => write!(formatter, ">= {minimum}"),
            Self::Exactly(value) => write!(formatter, "= {value}"),
            Self::Any => formatter.write_str(Self::NOT_CHECKED),
        }
    }
}

/// The per-node expectations of a variant. A counter that is not named must reach at least 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    counters: BTreeMap<Counter, Expectation>,
    /// How often the process of each agent pod may end, from readiness to `cleanup`, without failing the cell. The ends that
    /// the suite causes itself don't count.
    pub restarts: u32,
}

impl Expectations {
    /// What `counter` must come to on every node.
    pub fn of(&self, counter: Counter) -> Expectation {
        self.counters
            .get(&counter)
            .copied()
            .unwrap_or(Expectation::AtLeast(1))
    }

    /// Expects something else of `counter`.
    pub fn set(&mut self, counter: Counter, expectation: Expectation) {
        self.counters.insert(counter, expectation);
    }
}
