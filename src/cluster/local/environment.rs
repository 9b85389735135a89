//! A container's environment, constructed like the kubelet does: sources in order, references resolved, `$(NAME)`
//! expanded.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector};

use super::contents::{Contents, Keys, Kind};
use super::failure;
use crate::event::Failure;

/// A pod's facts about itself.
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
            let keys = required(contents.get(kind, name), optional, name)?;
            environment.extend(keys.into_iter().flatten().map(|(key, value)| {
                (
                    format!("{prefix}{key}"),
                    String::from_utf8_lossy(value).into_owned(),
                )
            }));
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(variable, &environment, pod, contents)? {
            environment.insert(variable.name.clone(), value);
        }
    }
    Ok(environment)
}

fn value_of(
    variable: &EnvVar,
    environment: &Environment,
    pod: &PodFacts,
    contents: &Contents,
) -> Result<Option<String>, Failure> {
    match &variable.value_from {
        None => {
            let value = variable.value.as_deref().unwrap_or_default();
            Ok(Some(expand(value, environment)))
        }
        Some(source) => referred(&variable.name, source, pod, contents),
    }
}

fn referred(
    variable: &str,
    source: &EnvVarSource,
    pod: &PodFacts,
    contents: &Contents,
) -> Result<Option<String>, Failure> {
    if let Some(field) = &source.field_ref {
        return field_of(field, pod).map(Some);
    }
    let secret = source.secret_key_ref.as_ref();
    let config_map = source.config_map_key_ref.as_ref();
    let secret = secret.map(|from| (Kind::Secret, &from.name, &from.key, from.optional));
    let config_map = config_map.map(|from| (Kind::ConfigMap, &from.name, &from.key, from.optional));
    let Some((kind, name, key, optional)) = secret.or(config_map) else {
        let what = format!("the local provider can't resolve where {variable} comes from");
        return Err(failure::container(what));
    };
    let value = contents.get(kind, name).and_then(|keys| keys.get(key));
    let value = required(value, optional, &format!("{name}, key {key}"))?;
    Ok(value.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

fn required<'v, T>(
    value: Option<&'v T>,
    optional: Option<bool>,
    name: &str,
) -> Result<Option<&'v T>, Failure> {
    match value {
        None if optional != Some(true) => Err(failure::container(format!("{name} is not there"))),
        value => Ok(value),
    }
}

/// A field of the pod, in the notation of the downward API.
pub(super) fn field_of(field: &ObjectFieldSelector, pod: &PodFacts) -> Result<String, Failure> {
    let path = field.field_path.as_str();
    let keyed = |prefix: &str| {
        path.strip_prefix(prefix)?
            .strip_prefix("['")?
            .strip_suffix("']")
    };
    if let Some(label) = keyed("metadata.labels") {
        return Ok(pod.labels.get(label).cloned().unwrap_or_default());
    }
    if let Some(annotation) = keyed("metadata.annotations") {
        return Ok(pod.annotations.get(annotation).cloned().unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => &pod.name,
        "metadata.namespace" => &pod.namespace,
        "metadata.uid" => &pod.uid,
        "spec.nodeName" => &pod.node,
        "spec.serviceAccountName" => &pod.account,
        "status.hostIP" | "status.podIP" | "status.hostIPs" | "status.podIPs" => &pod.address,
        _ => {
            return Err(failure::container(format!(
                "`{path}` is not a field of a pod"
            )));
        }
    };
    Ok(value.clone())
}

/// Expands `$(NAME)`. `$$` becomes `$`, and unknown variables stay unchanged.
pub(super) fn expand(text: &str, environment: &Environment) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            match environment.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

/// The keys of a source; an optional source may be missing.
pub(super) fn optional_keys<'c>(
    contents: &'c Contents,
    kind: Kind,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'c Keys>, Failure> {
    required(contents.get(kind, name), optional, name)
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
