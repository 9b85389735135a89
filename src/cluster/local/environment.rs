//! A container's environment, resolved like the kubelet does: sources in order, references looked up, `$(NAME)`
//! expanded.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector};
use regex::{Captures, Regex};

use super::contents::{Contents, Kind};
use super::failure;
use crate::event::Failure;

/// What the downward API says about a pod.
#[derive(Clone, Debug)]
pub(super) struct PodFacts {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) account: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl PodFacts {
    /// A field of the pod, in the notation of the downward API.
    pub(super) fn field(&self, field: &ObjectFieldSelector) -> Result<String, Failure> {
        let path = field.field_path.as_str();
        let keyed = |prefix: &str| {
            path.strip_prefix(prefix)?
                .strip_prefix("['")?
                .strip_suffix("']")
        };
        if let Some(label) = keyed("metadata.labels") {
            return Ok(self.labels.get(label).cloned().unwrap_or_default());
        }
        if let Some(annotation) = keyed("metadata.annotations") {
            return Ok(self
                .annotations
                .get(annotation)
                .cloned()
                .unwrap_or_default());
        }
        let value = match path {
            "metadata.name" => &self.name,
            "metadata.namespace" => &self.namespace,
            "metadata.uid" => &self.uid,
            "spec.nodeName" => &self.node,
            "spec.serviceAccountName" => &self.account,
            "status.hostIP" | "status.podIP" | "status.hostIPs" | "status.podIPs" => &self.address,
            _ => {
                return Err(failure::container(format_args!(
                    "`{path}` is not a field of a pod"
                )));
            }
        };
        Ok(value.clone())
    }
}

/// Variables by name. Values may be tokens.
pub(super) type Environment = BTreeMap<String, String>;

/// Resolves the environment of `container`.
pub(super) fn resolve(
    container: &Container,
    pod: &PodFacts,
    contents: &Contents,
) -> Result<Environment, Failure> {
    let mut environment = Environment::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let secret = source.secret_ref.as_ref();
        let config_map = source.config_map_ref.as_ref();
        let secret = secret.map(|from| (Kind::Secret, &from.name, from.optional));
        let config_map = config_map.map(|from| (Kind::ConfigMap, &from.name, from.optional));
        for (kind, name, optional) in secret.into_iter().chain(config_map) {
            let data = contents.get(kind, name, optional)?.into_iter().flatten();
            environment.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(value))));
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => {
                let value = variable.value.as_deref().unwrap_or_default();
                Some(expand(value, &environment))
            }
            Some(source) => value_from(&variable.name, source, pod, contents)?,
        };
        environment.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(environment)
}

fn value_from(
    variable: &str,
    source: &EnvVarSource,
    pod: &PodFacts,
    contents: &Contents,
) -> Result<Option<String>, Failure> {
    if let Some(field) = &source.field_ref {
        return pod.field(field).map(Some);
    }
    let value = if let Some(from) = &source.secret_key_ref {
        contents.value(Kind::Secret, &from.name, &from.key, from.optional)?
    } else if let Some(from) = &source.config_map_key_ref {
        contents.value(Kind::ConfigMap, &from.name, &from.key, from.optional)?
    } else {
        return Err(failure::container(format_args!(
            "the local provider doesn't support the source of the variable {variable}"
        )));
    };
    Ok(value.map(|value| text(value)))
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
