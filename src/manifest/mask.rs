//! The secrets in the objects of a cell, and the objects as YAML with secrets masked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Object;
use crate::secret::{Mask, Secret, is_secret_name};

/// The fields with the content of a Secret.
const CONTENT: [&str; 2] = ["data", "stringData"];

/// The secrets in `objects` and in the agent's configuration: the content of every Secret, and the values of variables
/// and keys with secret names.
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
    of_keys(agent_config, false, &mut found);
    found
}

fn of_secret(value: &Value, found: &mut Vec<Secret>) {
    for field in CONTENT {
        let table = value.get(field).and_then(Value::as_object);
        for text in table.into_iter().flat_map(|table| table.values()) {
            let Some(text) = scalar(text) else { continue };
            let decoded = STANDARD.decode(&text).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            found.extend(decoded.and_then(Secret::guessed));
            found.extend(Secret::guessed(text));
        }
    }
}

/// The values of all `{name, value}` pairs with secret names.
fn of_variables(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(table) => {
            let text = |key| table.get(key).and_then(scalar);
            if let (Some(name), Some(value)) = (text("name"), text("value"))
                && is_secret_name(&name)
            {
                found.extend(Secret::guessed(value));
            }
            table.values().for_each(|value| of_variables(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| of_variables(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The values below all keys with secret names. `is_secret` says whether `value` is already below such a key.
fn of_keys(value: &Value, is_secret: bool, found: &mut Vec<Secret>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                of_keys(value, is_secret || is_secret_name(name), found);
            }
        }
        Value::Array(list) => {
            for value in list {
                of_keys(value, is_secret, found);
            }
        }
        value if is_secret => found.extend(scalar(value).and_then(Secret::guessed)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value as text. Numbers are included, because errors may quote them.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The objects as YAML, in one string. The content of every Secret, variables with secret names, and everything in
/// `mask` are masked.
pub(super) fn yaml(objects: &[Object], mask: &Mask) -> String {
    let masked = objects.iter().map(|object| masked(object, mask));
    let texts: Vec<String> = masked
        .map(|value| {
            serde_saphyr::to_string(&value)
                .unwrap_or_else(|_| unreachable!("every JSON value can be written as YAML"))
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
