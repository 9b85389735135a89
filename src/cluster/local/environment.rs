//! Resolves a container's environment like the kubelet does: applies the sources in order, looks up references, and
//! expands `$(NAME)`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::{Captures, Regex};

use super::contents::{self, CONFIG_MAP, SECRET};
use super::failure;
use crate::event::Failure;
use crate::manifest::Rendered;

/// The fields of a pod by their paths in the downward API.
pub(super) struct PodFields(BTreeMap<String, String>);

impl PodFields {
    /// The fields for the labels and annotations in `metadata`, and the fields `others`.
    pub(super) fn new(metadata: Option<&ObjectMeta>, others: &[(&str, &str)]) -> Self {
        let metadata = metadata.cloned().unwrap_or_default();
        let keyed = |table, values: Option<BTreeMap<String, String>>| {
            let values = values.into_iter().flatten();
            values.map(move |(key, value)| (format!("metadata.{table}['{key}']"), value))
        };
        let labels = keyed("labels", metadata.labels);
        let annotations = keyed("annotations", metadata.annotations);
        let others = others
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
        Self(others.chain(labels).chain(annotations).collect())
    }

    /// The value of a field. If a label or annotation doesn't exist, its value is empty.
    pub(super) fn value(&self, field: &ObjectFieldSelector) -> Result<String, Failure> {
        let path = field.field_path.as_str();
        let is_keyed = path.ends_with("']")
            && ["metadata.labels['", "metadata.annotations['"]
                .iter()
                .any(|start| path.starts_with(start));
        match self.0.get(path) {
            Some(value) => Ok(value.clone()),
            None if is_keyed => Ok(String::new()),
            None => Err(failure::container(format_args!(
                "`{path}` is not a field of a pod"
            ))),
        }
    }
}

/// Variables by name. Values may be secrets.
pub(super) type Environment = BTreeMap<String, String>;

/// Resolves the environment of `container`.
pub(super) fn resolve(
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
        return fields.value(field).map(Some);
    }
    let value = if let Some(from) = &source.secret_key_ref {
        contents::data(rendered, SECRET, &from.name).remove(&from.key)
    } else if let Some(from) = &source.config_map_key_ref {
        contents::data(rendered, CONFIG_MAP, &from.name).remove(&from.key)
    } else {
        return Err(failure::container(format_args!(
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
