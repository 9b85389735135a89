//! What is secret in the objects of a cell, and the objects as YAML that may be kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Object;
use crate::secret::{Mask, Secret, is_secret_name};

/// The fields of a Secret that hold its content.
const CONTENT: [&str; 2] = ["data", "stringData"];

/// The secrets in `objects` and in the agent's configuration: the content of every Secret, and what variables and keys hold
/// whose names say so.
pub(super) fn secrets<'o>(
    objects: impl Iterator<Item = &'o Object>,
    agent_config: &Value,
) -> Vec<Secret> {
    let mut found = Vec::new();
    for object in objects {
        if object.kind == "Secret" {
            of_secret(&object.value, &mut found);
        }
        of_variables(&object.value, &mut found);
    }
    of_keys(agent_config, &mut found);
    found
}

fn of_secret(value: &Value, found: &mut Vec<Secret>) {
    for field in CONTENT {
        let table = value.get(field).and_then(Value::as_object);
        for text in table.into_iter().flat_map(|table| table.values()) {
            let Some(text) = text.as_str() else { continue };
            let decoded = STANDARD.decode(text).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            found.extend(decoded.map(Secret::new));
            found.push(Secret::new(text));
        }
    }
}

/// The values of all `{name, value}` pairs whose names say that they are secret.
fn of_variables(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(table) => {
            let text = |key| table.get(key).and_then(Value::as_str);
            if let (Some(name), Some(value)) = (text("name"), text("value"))
                && is_secret_name(name)
            {
                found.push(Secret::new(value));
            }
            table.values().for_each(|value| of_variables(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| of_variables(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The texts below all keys whose names say that they are secret.
fn of_keys(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                match value {
                    Value::String(text) if is_secret_name(name) => found.push(Secret::new(text)),
                    value => of_keys(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| of_keys(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The objects as one YAML text. Masked are the content of every Secret, variables whose name says that they hold one, and
/// whatever `mask` hides.
pub(super) fn yaml(objects: &[Object], mask: &Mask) -> String {
    let masked = objects.iter().map(|object| masked(object, mask));
    let texts: Vec<String> = masked
        .map(|value| {
            serde_saphyr::to_string(&value).unwrap_or_else(|_| unreachable!("a JSON value is YAML"))
        })
        .collect();
    texts.join("---\n")
}

fn masked(object: &Object, mask: &Mask) -> Value {
    let mut value = object.value.clone();
    if object.kind == "Secret" {
        for field in CONTENT {
            let table = value.get_mut(field).and_then(Value::as_object_mut);
            for (_, content) in table.into_iter().flatten() {
                *content = Value::from(Mask::PLACEHOLDER);
            }
        }
    }
    mask_within(&mut value, mask);
    value
}

fn mask_within(value: &mut Value, mask: &Mask) {
    match value {
        Value::Object(table) => {
            let names_a_secret = table
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(is_secret_name);
            if let (true, Some(content @ Value::String(_))) =
                (names_a_secret, table.get_mut("value"))
            {
                *content = Value::from(Mask::PLACEHOLDER);
            }
            table
                .values_mut()
                .for_each(|value| mask_within(value, mask));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| mask_within(value, mask)),
        Value::String(text) => *text = mask.apply(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
