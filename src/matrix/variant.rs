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

/// The per-node expectations of a variant. Each of the suite's own [counters](Counter) must reach at least 1 unless the variant
/// expects something else; any other counter is checked only if the variant names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    counters: BTreeMap<String, Expectation>,
    /// How often the process of each agent pod may end, from readiness to `cleanup`, without failing the cell. The ends that
    /// the suite causes itself don't count.
    pub restarts: u32,
}

impl Expectations {
    /// What `counter` must come to on every node.
    pub fn of(&self, counter: Counter) -> Expectation {
        self.counters
            .get(counter.name())
            .copied()
            .unwrap_or(Expectation::AtLeast(1))
    }

    /// The expectations of counters that only the mock knows, by name.
    pub fn further(&self) -> impl Iterator<Item = (&str, Expectation)> {
        let all = self.counters.iter();
        all.map(|(name, expectation)| (name.as_str(), *expectation))
            .filter(|(name, _)| Counter::from_name(name).is_none())
    }

    /// The expectation of every counter: the suite's own first, in the mock's order.
    pub fn all(&self) -> impl Iterator<Item = (&str, Expectation)> {
        let own = Counter::all().map(|counter| (counter.name(), self.of(counter)));
        own.chain(self.further())
    }

    /// Expects something else of the counter that the mock calls `name`.
    pub fn set(&mut self, name: &str, expectation: Expectation) {
        self.counters.insert(name.to_owned(), expectation);
    }
}
