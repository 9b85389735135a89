//! Turns the descriptions of keys into a JSON Schema for editors, and into the tables of `docs/matrix.md`.

use serde_json::{Value, json};

use super::axes::MatrixTable;
use super::checks::{check, command};
use super::expect::expectation;
use super::keys::{Key, described, schema as schema_of};
use super::variants::{settings, version};
use super::{Draft, deploy, run};
use crate::matrix::{Phase, PhaseSettings};

/// The JSON Schema of a matrix file. It accepts each valid file, and rejects unknown keys and values of the wrong type.
/// It can't check relations between keys or the names of further axes.
pub fn schema() -> Value {
    let mut schema = schema_of(Draft::read);
    // Most editors support draft 7. Taplo supports only draft 4, but the schema uses no newer keyword.
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The matrix file of e2e-matrix");
    schema["definitions"] = json!({
        "expectation": expectation().schema,
        "value": schema_of(settings),
    });
    schema
}

/// The tables of `docs/matrix.md`: each with its name and its Markdown.
pub fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("matrix", table(described(MatrixTable::read))),
        ("kubernetes", table(described(version))),
        ("values", table(described(settings))),
        ("images", table(described(deploy::system))),
        ("deploy", table(described(deploy::deploy))),
        ("run", table(described(run::run))),
        ("existing", table(described(run::existing))),
        ("checks", table(described(check))),
        ("commands", table(described(command))),
        ("phases", phase_table()),
    ]
}

fn table(keys: Vec<Key>) -> String {
    let head = "| Key | Type | Default | |\n|---|---|---|---|\n".to_owned();
    let rows = keys.into_iter().flat_map(|key| match key.name {
        Some(name) => rows(&name, &key.schema, key.is_required),
        None => vec![row("any other", &key.schema, "")],
    });
    rows.fold(head, |table, row| table + &row)
}

/// The row of a key. If the key is a table whose keys all have descriptions, the rows of these keys instead.
fn rows(name: &str, schema: &Value, is_required: bool) -> Vec<String> {
    let inner = schema["properties"].as_object();
    if let Some(inner) =
        inner.filter(|inner| inner.values().all(|key| key.get("description").is_some()))
    {
        let inner = inner.iter();
        let rows = inner.flat_map(|(key, schema)| rows(&format!("{name}.{key}"), schema, false));
        return rows.collect();
    }
    let default = match &schema["default"] {
        _ if is_required => "required".to_owned(),
        Value::Null => String::new(),
        default => format!("`{default}`"),
    };
    vec![row(&format!("`{name}`"), schema, &default)]
}

fn row(name: &str, schema: &Value, default: &str) -> String {
    let doc = schema["description"].as_str().unwrap_or_default();
    format!("| {name} | {} | {default} | {doc} |\n", words(schema))
}

/// The type that a schema describes.
fn words(schema: &Value) -> String {
    if let Some(schemas) = schema["anyOf"].as_array() {
        return schemas.iter().map(words).collect::<Vec<_>>().join(" or ");
    }
    let is_closed = |schema: &Value| schema.get("properties").is_some();
    match (schema["type"].as_str(), &schema["enum"][0]) {
        (Some("array"), _) => format!("array of {}", plural(&schema["items"])),
        (Some("object"), _) if !is_closed(schema) && !schema["additionalProperties"].is_null() => {
            format!("table of {}", plural(&schema["additionalProperties"]))
        }
        (Some("object"), _) => "table".to_owned(),
        (_, Value::Bool(only)) => format!("`{only}`"),
        (Some(name), _) => name.to_owned(),
        (None, Value::String(_)) => "string".to_owned(),
        (None, _) => "any".to_owned(),
    }
}

/// The plural of the type. A value that can also come from the environment is described as a plain value.
fn plural(schema: &Value) -> String {
    words(schema.pointer("/anyOf/0").unwrap_or(schema)) + "s"
}

/// The phases with their timeouts, and the keys that only one phase has.
fn phase_table() -> String {
    let head = "| Phase | `timeout` | Its own keys |\n|---|---|---|\n".to_owned();
    Phase::ALL.into_iter().fold(head, |table, phase| {
        let keys = described(|keys| run::settings_of(phase, keys, &mut PhaseSettings::default()));
        let (mut timeout, mut own) = (Value::Null, Vec::new());
        for Key { name, schema, .. } in keys {
            match name.as_deref() {
                Some("timeout") => timeout = schema["default"].clone(),
                Some("retries" | "run") | None => {}
                Some(name) => {
                    let doc = schema["description"].as_str().unwrap_or_default();
                    own.push(format!("`{name}` (`{}`): {doc}", schema["default"]));
                }
            }
        }
        format!("{table}| `{phase}` | `{timeout}` | {} |\n", own.join(" "))
    })
}
