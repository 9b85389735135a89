//! Objects as YAML that may be kept: what is secret in them is masked.

use serde_json::Value;

use super::Object;
use crate::secret::{Mask, Secret};

/// The objects as one YAML text. Masked are the content of every Secret, variables whose name says that they hold one,
/// and `token` wherever it stands.
pub(super) fn yaml(objects: &[Object], token: &Secret) -> String {
    let mask = Mask::new([token.clone()]);
    let masked = objects.iter().map(|object| masked(object, &mask));
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
        for field in ["data", "stringData"] {
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

/// Whether a variable of this name holds what must not be seen.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASSWORD", "PRIVATE_KEY", "API_KEY"]
        .iter()
        .any(|word| name.contains(word))
}
