//! The secrets in the objects of a cell, and the objects as YAML with secrets masked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Object;
use super::patch::table;
use crate::secret::{Mask, Secret, is_secret_name};

/// The secrets in `objects` and in the agent's configuration: the content of every Secret, and the values of variables
/// and keys with secret names.
pub(super) fn secrets<'o>(
    objects: impl Iterator<Item = &'o Object>,
    agent_config: &Value,
) -> Vec<Secret> {
    let mut found: Vec<Secret> = objects.flat_map(|object| separated(object).1).collect();
    of_keys(agent_config, false, &mut found);
    found
}

/// The document of an object with placeholders in place of its secrets, and the secrets: the content of a Secret, and
/// the values of variables with secret names. Variables can also come from a `ConfigMap`, but if a text in it has
/// several lines, it is a file.
fn separated(object: &Object) -> (Value, Vec<Secret>) {
    let (mut value, mut found) = (object.value.clone(), Vec::new());
    let is_secret = |key: &str, content: &Value| match object.kind.as_str() {
        "Secret" => true,
        "ConfigMap" => is_secret_name(key) && content.as_str().is_some_and(is_line),
        _ => false,
    };
    for field in ["/data", "/stringData"] {
        for (key, content) in table(&mut value, field).into_iter().flatten() {
            if is_secret(key, content)
                && let Some(text) = scalar(&std::mem::replace(content, Mask::PLACEHOLDER.into()))
            {
                let decoded = STANDARD.decode(&text).ok();
                let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                found.extend(decoded.and_then(Secret::guessed));
                found.extend(Secret::guessed(text));
            }
        }
    }
    for_each(&mut value, &mut |value| {
        let name = value["name"].as_str();
        if name.is_some_and(is_secret_name)
            && let Some(content) = value.get_mut("value")
            && let Some(text) = scalar(content)
        {
            *content = Mask::PLACEHOLDER.into();
            found.extend(Secret::guessed(text));
        }
    });
    (value, found)
}

fn is_line(text: &str) -> bool {
    !text.trim_end().contains('\n')
}

/// Calls `visit` with `value`, and then with everything in it.
fn for_each(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Object(table) => table.values_mut().for_each(|value| for_each(value, visit)),
        Value::Array(list) => list.iter_mut().for_each(|value| for_each(value, visit)),
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
    let texts = objects.iter().map(|object| {
        let (mut value, _) = separated(object);
        for_each(&mut value, &mut |value| {
            if let Value::String(text) = value {
                *text = mask.apply(text);
            }
        });
        serde_saphyr::to_string(&value)
            .unwrap_or_else(|_| unreachable!("every JSON value can be written as YAML"))
    });
    let texts: Vec<String> = texts.collect();
    texts.join("---\n")
}
