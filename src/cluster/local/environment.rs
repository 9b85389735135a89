//! Resolves a container's environment like the kubelet does: applies the sources in order, looks up references, and
//! expands `$(NAME)`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::{Captures, Regex};
use serde_json::Value;

use super::contents::{self, CONFIG_MAP, SECRET};
use super::pod_config::invalid;
use super::resources;
use crate::event::Failure;
use crate::manifest::Rendered;

/// The fields with all labels and with all annotations.
const TABLES: [&str; 2] = ["metadata.labels", "metadata.annotations"];

/// The fields of a pod by their paths in the downward API.
pub(super) struct PodFields(BTreeMap<String, String>);

impl PodFields {
    /// The fields for the labels and annotations in `metadata`, and the fields `others`.
    pub(super) fn new(metadata: Option<&ObjectMeta>, others: &[(&str, &str)]) -> Self {
        let metadata = metadata.cloned().unwrap_or_default();
        let tables = TABLES
            .into_iter()
            .zip([metadata.labels, metadata.annotations]);
        let tables = tables.flat_map(|(path, values)| {
            let values = values.unwrap_or_default();
            let all = (path.to_owned(), lines(&values));
            let keyed = values.into_iter();
            let keyed = keyed.map(move |(key, value)| (format!("{path}['{key}']"), value));
            std::iter::once(all).chain(keyed)
        });
        let others = others
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
        Self(others.chain(tables).collect())
    }

    /// The value of a field for a variable. If a label or annotation doesn't exist, its value is empty.
    pub(super) fn variable(&self, field: &ObjectFieldSelector) -> Result<String, Failure> {
        let path = field.field_path.as_str();
        self.value(path, "variables", !TABLES.contains(&path))
    }

    /// The value of a field for a file in a volume. If a label or annotation doesn't exist, its value is empty.
    pub(super) fn file(&self, field: &ObjectFieldSelector) -> Result<String, Failure> {
        let path = field.field_path.as_str();
        self.value(path, "volumes", path.starts_with("metadata."))
    }

    fn value(&self, path: &str, users: &str, is_offered: bool) -> Result<String, Failure> {
        let is_keyed = path.ends_with("']")
            && TABLES.iter().any(|table| {
                path.strip_prefix(table)
                    .is_some_and(|key| key.starts_with("['"))
            });
        match self.0.get(path).filter(|_| is_offered) {
            Some(value) => Ok(value.clone()),
            None if is_keyed => Ok(String::new()),
            None => Err(invalid(format_args!(
                "the downward API has no field `{path}` for {users}"
            ))),
        }
    }
}

/// Labels or annotations in the format of the kubelet: one line per key, with the value quoted. The kubelet quotes it as
/// in Go, which differs from JSON only in how it writes some rare characters.
fn lines(values: &BTreeMap<String, String>) -> String {
    let lines = values
        .iter()
        .map(|(key, value)| format!("{key}={}", Value::from(value.as_str())));
    lines.collect::<Vec<_>>().join("\n")
}

/// Variables by name. Values may be secrets.
pub(super) type Environment = BTreeMap<String, String>;

/// Resolves the environment of `container` in the pod `spec`.
pub(super) fn resolve(
    spec: &PodSpec,
    container: &Container,
    fields: &PodFields,
    rendered: &Rendered,
) -> Result<Environment, Failure> {
    let mut environment = Environment::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let secret = source.secret_ref.as_ref();
        let config_map = source.config_map_ref.as_ref();
        let secret = secret.map(|from| (SECRET, &from.name));
        let config_map = config_map.map(|from| (CONFIG_MAP, &from.name));
        for (kind, name) in secret.into_iter().chain(config_map) {
            let data = contents::data(rendered, kind, name).into_iter();
            environment.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value))));
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => {
                let value = variable.value.as_deref().unwrap_or_default();
                Some(expand(value, &environment))
            }
            Some(EnvVarSource {
                resource_field_ref: Some(field),
                ..
            }) => Some(resources::value(spec, &container.name, field)?),
            Some(source) => value_from(&variable.name, source, fields, rendered)?,
        };
        environment.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(environment)
}

fn value_from(
    variable: &str,
    source: &EnvVarSource,
    fields: &PodFields,
    rendered: &Rendered,
) -> Result<Option<String>, Failure> {
    if let Some(field) = &source.field_ref {
        return fields.variable(field).map(Some);
    }
    let value = if let Some(from) = &source.secret_key_ref {
        contents::data(rendered, SECRET, &from.name).remove(&from.key)
    } else if let Some(from) = &source.config_map_key_ref {
        contents::data(rendered, CONFIG_MAP, &from.name).remove(&from.key)
    } else {
        return Err(invalid(format_args!(
            "the local provider doesn't support the source of the variable {variable}"
        )));
    };
    Ok(value.map(|value| text(&value)))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Expands `$(NAME)`. `$$` becomes `$`, and unknown variables stay unchanged.
pub(super) fn expand(text: &str, environment: &Environment) -> String {
    static REFERENCE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\$(?:\$|\(([^)]*)\))").expect("the pattern is valid"));
    let value = |reference: &Captures<'_>| match reference.get(1) {
        Some(name) => match environment.get(name.as_str()) {
            Some(value) => value.clone(),
            None => reference[0].to_owned(),
        },
        None => "$".to_owned(),
    };
    REFERENCE.replace_all(text, value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_available_where_kubernetes_offers_them() {
        let table = |pairs: &[(&str, &str)]| -> Option<BTreeMap<String, String>> {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Some(pairs.collect())
        };
        let metadata = ObjectMeta {
            labels: table(&[("tier", "b"), ("app", "a")]),
            annotations: table(&[("note", "a \"b\"\\\n\té")]),
            ..ObjectMeta::default()
        };
        let others = [("metadata.name", "pod"), ("spec.nodeName", "node")];
        let fields = PodFields::new(Some(&metadata), &others);
        for (path, variable, file) in [
            ("metadata.name", Some("pod"), Some("pod")),
            ("metadata.labels['app']", Some("a"), Some("a")),
            ("metadata.labels['none']", Some(""), Some("")),
            ("metadata.labels", None, Some("app=\"a\"\ntier=\"b\"")),
            (
                "metadata.annotations",
                None,
                Some(r#"note="a \"b\"\\\n\té""#),
            ),
            ("spec.nodeName", Some("node"), None),
            ("metadata.nope", None, None),
        ] {
            let field = ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            };
            assert_eq!(fields.variable(&field).ok().as_deref(), variable, "{path}");
            assert_eq!(fields.file(&field).ok().as_deref(), file, "{path}");
        }
    }

    #[test]
    fn references_are_expanded_like_the_kubelet_does() {
        let environment = Environment::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A", "$A"),
            ("cost: 5$", "cost: 5$"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &environment), expected, "{text}");
        }
    }
}
