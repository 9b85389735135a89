//! The agent's configuration: a base, the variant's values merged over it, and placeholders for values of the run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Inputs, ManifestProblem, Place};
use crate::matrix::merge;

/// The start of a placeholder: `${e2e.`, a name, and `}`.
const OPENING: &str = "${e2e.";

/// The values of placeholders.
pub(super) struct Placeholders(BTreeMap<&'static str, String>);

impl Placeholders {
    /// The values for a cell whose mock has the Service `service`.
    pub(super) fn new(inputs: &Inputs<'_>, service: &str) -> Self {
        let namespace = inputs.namespace;
        let values = [
            ("mock-url", format!("http://{service}.{namespace}:8080")),
            (
                "local-endpoint-url",
                format!("https://{service}.{namespace}:8443"),
            ),
            ("namespace", namespace.to_owned()),
            ("nodes", inputs.nodes.to_string()),
            (
                "bootstrap-token",
                inputs.bootstrap_token.expose().to_owned(),
            ),
        ];
        Self(values.into())
    }

    /// The base with the variant's values merged over it and all placeholders replaced.
    pub(super) fn agent_config(
        &self,
        inputs: &Inputs<'_>,
        problems: &mut Vec<ManifestProblem>,
    ) -> Value {
        let (file, text) = &inputs.sources.agent_config;
        let mut base = read(file, text).unwrap_or_else(|problem| {
            problems.push(problem);
            Value::Object(Map::new())
        });
        self.fill(&mut base, &Place::file(file), problems);
        let mut over = Value::Object(inputs.agent_config.clone());
        let variant = Place::file("the agent configuration of the variant");
        self.fill(&mut over, &variant, problems);
        if let (Value::Object(base), Value::Object(over)) = (&mut base, &over) {
            merge(base, over);
        }
        base
    }

    /// The variant's environment with all placeholders replaced.
    pub(super) fn env(
        &self,
        inputs: &Inputs<'_>,
        problems: &mut Vec<ManifestProblem>,
    ) -> BTreeMap<String, String> {
        let filled = inputs.env.iter().map(|(name, value)| {
            let filled = self.filled(value).unwrap_or_else(|unknown| {
                let place = Place::file("the environment of the variant").below(name);
                problems.push(self.problem(place, &unknown));
                String::new()
            });
            (name.clone(), filled)
        });
        filled.collect()
    }

    fn fill(&self, value: &mut Value, at: &Place, problems: &mut Vec<ManifestProblem>) {
        for_each_string(value, at, &mut |at, value| {
            let text = value.as_str().unwrap_or_default();
            // A placeholder for a number becomes a number, unless it is part of a longer string.
            if text == "${e2e.nodes}" {
                *value = self.0["nodes"].parse::<u64>().unwrap_or_default().into();
                return;
            }
            match self.filled(text) {
                Ok(filled) => *value = filled.into(),
                Err(unknown) => problems.push(self.problem(at.clone(), &unknown)),
            }
        });
    }

    /// `text` with all placeholders replaced, or the first unknown placeholder.
    fn filled(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split(OPENING);
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let found = part.split_once('}');
            let found = found.and_then(|(name, rest)| Some((self.0.get(name)?, rest)));
            let Some((value, rest)) = found else {
                let end = part.find('}').map_or(part.len(), |end| end + 1);
                return Err(format!("{OPENING}{}", &part[..end]));
            };
            filled.push_str(value);
            filled.push_str(rest);
        }
        Ok(filled)
    }

    fn problem(&self, place: Place, unknown: &str) -> ManifestProblem {
        let known: Vec<String> = self
            .0
            .keys()
            .map(|name| format!("`{OPENING}{name}}}`"))
            .collect();
        ManifestProblem::new(
            place,
            format!("`{unknown}` is not a placeholder"),
            format!("use one of {}", known.join(", ")),
        )
    }
}

/// Calls `visit` with each string in `value` and the string's place. `at` is the place of `value` itself.
pub(super) fn for_each_string(
    value: &mut Value,
    at: &Place,
    visit: &mut dyn FnMut(&Place, &mut Value),
) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                for_each_string(value, &at.below(key), visit);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                for_each_string(value, &at.below(&format!("[{index}]")), visit);
            }
        }
        Value::String(_) => visit(at, value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads a configuration file.
fn read(file: &str, text: &str) -> Result<Value, ManifestProblem> {
    // As in manifests, `0644` is octal.
    let options = serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true,
    };
    let read = serde_saphyr::from_str_with_options::<Value>(text, options);
    let problem = |message: String| {
        let remedy = "write the agent's configuration as a YAML mapping";
        ManifestProblem::new(Place::file(file), message, remedy)
    };
    match read {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(problem("is not a mapping".to_owned())),
        Err(error) => Err(problem(format!("is not valid YAML: {error}"))),
    }
}
