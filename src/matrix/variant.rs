//! What one value of an axis changes, and what all values of a cell change together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::environment::Place;
use super::{Counter, FromEnv, Manifests};

/// The settings from the table of a value on `config` or on a further axis, or from several such tables, merged. The
/// config `default` needs no table; without one, it sets nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// Merged over the base of the agent's configuration, key by key.
    pub agent: Map<String, Value>,
    /// What the counters must reach, per node.
    pub expect: Expectations,
    /// Additional environment variables for the agent's container.
    pub env: BTreeMap<String, String>,
    /// The parts of `agent` and `env` that come from the runner's environment, until [`super::resolve_variables`]
    /// inserts them.
    pub from_env: Vec<(Place, FromEnv)>,
    /// Parts of kind's configuration file, which take precedence over everything else in it.
    pub kind: Map<String, Value>,
    /// The agent that replaces `[images.agent]`.
    pub program: Option<AgentProgram>,
    /// The manifests that replace those of `[deploy]`.
    pub manifests: Option<Manifests>,
}

/// An agent that a value selects in place of `[images.agent]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentProgram {
    /// The table that selects the agent, as written in the file.
    pub table: String,
    /// The image for clusters; `None` if the agent is only for the local provider.
    pub image: Option<String>,
    /// The program for the local provider, relative to the matrix file; `None` if the agent is only for clusters.
    pub binary: Option<PathBuf>,
}

/// The settings from the table of one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The table, as written in the file: `[config.fast]`, `[agent."1.4"]`.
    pub table: String,
    /// What the table sets.
    pub variant: Arc<Variant>,
}

impl Variant {
    /// All `layers` merged in order: tables key by key, counters and variables one by one, and everything else,
    /// including arrays, as a whole.
    pub fn merged(layers: &[Layer]) -> Arc<Self> {
        match layers {
            [] => Arc::default(),
            [only] => Arc::clone(&only.variant),
            [first, rest @ ..] => {
                let mut merged = Self::clone(&first.variant);
                for layer in rest {
                    merged.merge_over(&layer.variant);
                }
                Arc::new(merged)
            }
        }
    }

    fn merge_over(&mut self, over: &Self) {
        self.from_env.retain(|(place, _)| !over.sets(place));
        self.from_env.extend(over.from_env.iter().cloned());
        merge(&mut self.agent, &over.agent);
        merge(&mut self.kind, &over.kind);
        self.expect.merge_over(&over.expect);
        self.env.extend(over.env.clone());
        self.program = over.program.clone().or_else(|| self.program.take());
        self.manifests = over.manifests.clone().or_else(|| self.manifests.take());
    }

    /// Whether the variant sets the value at this place.
    fn sets(&self, place: &Place) -> bool {
        match place {
            Place::Env(name) => self.sets_variable(name),
            Place::Agent(pointer) => {
                let mut at = &self.agent;
                for key in pointer.split('/').skip(1) {
                    match at.get(&key.replace("~1", "/").replace("~0", "~")) {
                        Some(Value::Object(table)) => at = table,
                        // The variant replaces a table that contains the place.
                        Some(_) => return true,
                        None => return false,
                    }
                }
                // The variant has a table at the place itself.
                true
            }
        }
    }

    /// Whether the variant sets this variable of the agent's container, whether from the file or from the runner's
    /// environment.
    pub fn sets_variable(&self, name: &str) -> bool {
        let is_variable = |place: &Place| matches!(place, Place::Env(own) if own == name);
        let mut references = self.from_env.iter();
        self.env.contains_key(name) || references.any(|(place, _)| is_variable(place))
    }
}

/// Merges `over` into `base`: tables key by key; everything else is replaced.
pub fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(over)) => merge(below, over),
            (_, value) => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The expectation for one counter, per node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// At least this value; 0 means no minimum.
    AtLeast(u64),
    /// Exactly this value, at the end of its phase and again before `cleanup`.
    Exactly(u64),
    /// Any value: it is reported but not checked.
    Any,
}

impl Expectation {
    /// How reports show [`Self::Any`].
    pub const NOT_CHECKED: &str = "any (not checked)";

    /// The lowest value that meets the expectation.
    pub const fn minimum(self) -> u64 {
        match self {
            Self::AtLeast(minimum) | Self::Exactly(minimum) => minimum,
            Self::Any => 0,
        }
    }

    /// The expectation for the total of `nodes` nodes.
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

/// The per-node expectations of a variant. Each of the suite's own [counters](Counter) must reach at least 1, unless
/// the variant expects something else. Any other counter is checked only if the variant names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    counters: BTreeMap<String, Expectation>,
    pub(super) restarts: Option<u32>,
}

impl Expectations {
    /// How many times the processes of each agent pod may exit between readiness and `cleanup` without failing the cell.
    /// Exits that the suite itself causes don't count.
    pub fn restarts(&self) -> u32 {
        self.restarts.unwrap_or(0)
    }

    /// Merges `over` into the expectations. The expectations in `over` take precedence.
    fn merge_over(&mut self, over: &Self) {
        self.counters.extend(over.counters.clone());
        self.restarts = over.restarts.or(self.restarts);
    }

    /// The expectation of `counter` on each node.
    pub fn of(&self, counter: Counter) -> Expectation {
        let expected = self.counters.get(counter.name());
        expected.copied().unwrap_or(Expectation::AtLeast(1))
    }

    /// The expectations of counters that aren't the suite's own, by name.
    pub fn further(&self) -> impl Iterator<Item = (&str, Expectation)> {
        let all = self.counters.iter();
        all.map(|(name, expectation)| (name.as_str(), *expectation))
            .filter(|(name, _)| Counter::from_name(name).is_none())
    }

    /// The expectations of all counters: the suite's own first, in the mock's order.
    pub fn all(&self) -> impl Iterator<Item = (&str, Expectation)> {
        let own = Counter::ALL.into_iter();
        let own = own.map(|counter| (counter.name(), self.of(counter)));
        own.chain(self.further())
    }

    /// Sets the expectation of the counter `name`.
    pub fn set(&mut self, name: &str, expectation: Expectation) {
        self.counters.insert(name.to_owned(), expectation);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::matrix::Matrix;

    fn table(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(table) => table,
            other => panic!("{other} is not a table"),
        }
    }

    #[test]
    fn tables_are_merged_by_key_and_other_values_are_replaced() {
        let mut base = table(json!({ "a": { "b": 1, "c": [1, 2] }, "d": { "e": 1 }, "f": 1 }));
        let over = table(json!({ "a": { "c": [3] }, "d": 2, "f": { "g": 1 } }));
        merge(&mut base, &over);
        let expected = json!({ "a": { "b": 1, "c": [3] }, "d": 2, "f": { "g": 1 } });
        assert_eq!(Value::Object(base), expected);
    }

    proptest! {
        #[test]
        fn merging_keeps_other_values(base in any::<u8>(), over in any::<u8>()) {
            let mut merged = table(json!({ "both": [base], "base": { "value": base } }));
            let over = table(json!({ "both": [over], "over": { "value": over } }));
            merge(&mut merged, &over);
            prop_assert_eq!(&merged["base"]["value"], &json!(base));
            prop_assert_eq!(&merged["both"], &over["both"]);
            prop_assert_eq!(&merged["over"], &over["over"]);
        }
    }

    const FILE: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["fast"]
runtime = ["a"]
agent = ["1.4"]
[config.fast]
agent = { token = { from-env = "ONE" }, list = [{ from-env = "TWO" }], interval = "1s", api = { url = "a", key = { from-env = "KEY" } } }
env = { A = "config", B = { from-env = "B" }, C = "config" }
expect = { audit_count = 2, metrics_count = 3, restarts = 4 }
image = "plexd:config"
manifests = "config"
[runtime.a]
agent = { interval = "2s", token = "of the runtime" }
env = { A = "runtime", B = "runtime", C = { from-env = "C" } }
expect = { audit_count = "any" }
kind = { featureGates = { X = true } }
[agent."1.4"]
agent = { interval = "3s", list = [], api = { url = "b" } }
binary = "plexd"
kind = { featureGates = { Y = true } }
"#;

    #[test]
    fn later_axes_take_precedence_and_keep_other_values() {
        let cells = Matrix::parse("matrix.toml", FILE).unwrap().cells;
        let cell = &cells[0];
        assert_eq!(cell.id.as_str(), "k8s-1.36-n1-fast-runtime-a-agent-1.4");
        let tables: Vec<_> = cell.layers.iter().map(|layer| &*layer.table).collect();
        assert_eq!(tables, ["[config.fast]", "[runtime.a]", "[agent.\"1.4\"]"]);
        let variant = &cell.variant;
        let agent = json!({ "token": "of the runtime", "list": [], "interval": "3s", "api": { "url": "b", "key": null } });
        assert_eq!(Value::Object(variant.agent.clone()), agent);
        assert_eq!(variant.env["A"], "runtime");
        assert_eq!(variant.env["B"], "runtime");
        let left: Vec<_> = variant.from_env.iter().map(|(place, _)| place).collect();
        let key = Place::Agent("/api/key".to_owned());
        assert_eq!(left, [&key, &Place::Env("C".to_owned())]);
        let expect = |name| variant.expect.of(Counter::from_name(name).unwrap());
        assert_eq!(expect("audit_count"), Expectation::Any);
        assert_eq!(expect("metrics_count"), Expectation::AtLeast(3));
        assert_eq!(variant.expect.restarts(), 4);
        let gates = json!({ "featureGates": { "X": true, "Y": true } });
        assert_eq!(Value::Object(variant.kind.clone()), gates);
        assert_eq!(variant.manifests, Some(Manifests::At("config".into())));
        let program = variant.program.as_ref().unwrap();
        // The image of `[config.fast]` belongs to another agent.
        assert_eq!(
            (&program.image, &program.binary),
            (&None, &Some("plexd".into()))
        );
    }
}
