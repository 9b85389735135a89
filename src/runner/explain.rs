//! The settings and manifests of a cell, determined without starting anything.

use serde_json::Value;

use super::SessionError;
use super::setup::{Setup, Workload};
use crate::matrix::Cell;

/// The settings and manifests of a cell, with secrets masked.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The provider's name.
    pub provider: &'static str,
    /// Why `auto` chose this provider; for the provider `existing`, a description of the cluster.
    pub reason: Option<String>,
    /// The namespace for all objects.
    pub namespace: String,
    /// The images of agent and mock in the manifests.
    pub images: [String; 2],
    /// The agent's configuration, one setting per value.
    pub agent_config: Vec<Setting>,
    /// The environment of the agent's container.
    pub environment: Vec<Setting>,
    /// The provider's configuration of the cluster as YAML; `None` if the provider has none.
    pub cluster: Option<String>,
    /// The objects in the order in which they are applied: for each rank of objects, a file name and YAML.
    pub manifests: Vec<(String, String)>,
    /// What the runner added to the manifests, and other notices.
    pub notices: Vec<String>,
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The keys that lead to the value, joined with dots.
    pub key: String,
    /// The value: JSON in the agent's configuration, plain text in the environment.
    pub value: String,
    /// The file or table that sets it.
    pub origin: String,
}

/// Determines the settings and manifests of `cell`, which has to be one of the workload's cells. Starts and writes
/// nothing.
///
/// # Errors
/// All errors that a run would report before its first cell.
pub async fn explain(workload: Workload, cell: &Cell) -> Result<Explanation, SessionError> {
    let Setup {
        provider,
        provider_reason,
        renderer,
        mask,
        ..
    } = Setup::new(workload).await?;
    let rendered = renderer.render_for_any_run(cell)?;
    let mut agent_config = Vec::new();
    let layers = cell.layers.iter();
    let layers = layers.map(|layer| Value::Object(layer.variant.agent.clone()));
    let layers: Vec<Value> = layers.collect();
    flatten(
        rendered.agent_config(),
        &layers.iter().map(Some).collect::<Vec<_>>(),
        String::new(),
        &mut |key, value, layer| {
            let layer = layer.and_then(|index| cell.layers.get(index));
            let base = || renderer.agent_config_file(cell);
            agent_config.push(Setting {
                key,
                value: mask.apply(&value.to_string()),
                origin: layer.map_or_else(base, |layer| &layer.table).to_owned(),
            });
        },
    );
    let environment = rendered.agent_environment().into_iter();
    let environment = environment.map(|(key, value)| {
        let mut layers = cell.layers.iter().rev();
        let layer = layers.find(|layer| layer.variant.sets_variable(&key));
        let origin = layer.map_or("the DaemonSet", |layer| &layer.table);
        Setting {
            value: mask.apply(&value),
            origin: origin.to_owned(),
            key,
        }
    });
    let images = provider.images(cell);
    let cluster = provider.cluster_config(cell);
    Ok(Explanation {
        provider: provider.name(),
        reason: provider_reason,
        images: [images.agent, images.mock],
        environment: environment.collect(),
        agent_config,
        cluster: cluster.map(|yaml| mask.apply(&yaml)),
        manifests: rendered.masked_yaml(&mask),
        notices: rendered.notices().to_vec(),
        namespace: rendered.namespace().to_owned(),
    })
}

/// Calls `found` for each value in `merged` that isn't a table, with its key and the last of `layers` that sets it.
fn flatten(
    merged: &Value,
    layers: &[Option<&Value>],
    key: String,
    found: &mut impl FnMut(String, &Value, Option<usize>),
) {
    match merged {
        Value::Object(table) if !table.is_empty() => {
            for (name, value) in table {
                let below = layers
                    .iter()
                    .map(|layer| layer.and_then(|layer| layer.get(name)));
                let separator = if key.is_empty() { "" } else { "." };
                let below: Vec<_> = below.collect();
                flatten(value, &below, format!("{key}{separator}{name}"), found);
            }
        }
        _ => found(key, merged, layers.iter().rposition(Option::is_some)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_has_its_key_and_its_origin() {
        let merged = json!({"api": {"url": "u", "retry": {"max": 3}}, "list": [1, 2], "empty": {}, "log": "debug"});
        let first = json!({"api": {"retry": {"max": 2}}, "log": "debug"});
        let second = json!({"api": {"retry": {"max": 3}}});
        let mut seen = Vec::new();
        flatten(
            &merged,
            &[Some(&first), Some(&second)],
            String::new(),
            &mut |key, value, layer| {
                seen.push(format!("{key}={value} {layer:?}"));
            },
        );
        assert_eq!(
            seen,
            [
                "api.retry.max=3 Some(1)",
                "api.url=\"u\" None",
                "empty={} None",
                "list=[1,2] None",
                "log=\"debug\" Some(0)",
            ]
        );
    }
}
