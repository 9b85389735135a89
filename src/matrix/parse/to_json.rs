//! Converts TOML values that the runner doesn't interpret (the agent's configuration, kind's file) to JSON.
//!
//! Reports values that can't be written as JSON: dates, infinities, and integers of more than 64 bits.

use serde_json::{Map, Number, Value};
use toml::de::{DeInteger, DeValue};

use super::from_env;
use super::keys::Table;
use super::reader::Entry;
use crate::matrix::environment::{FromEnv, Place};
use crate::matrix::problem::Problem;

/// References to the environment, each with its place as a JSON pointer. The value at the place is `null`.
pub(super) type References = Vec<(Place, FromEnv)>;

/// The table as a JSON object, with its references.
pub(super) fn object(table: &Table<'_>) -> (Map<String, Value>, References) {
    let mut references = Vec::new();
    (object_at("", table, &mut references), references)
}

/// The value as JSON. Reports any references to the environment in the value.
pub(super) fn plain(entry: Entry<'_>) -> Option<Value> {
    let mut references = Vec::new();
    let value = value_at(String::new(), entry, &mut references);
    for (_, FromEnv { variable, span }) in &references {
        let key = entry.key;
        let message =
            format!("`{key}` can't take a value from the environment variable `{variable}`");
        let help = "only `env`, `agent` and `[run] secrets` can take values from the environment";
        entry.document.report(Problem::at(*span, message, help));
    }
    value.filter(|_| references.is_empty())
}

fn object_at(pointer: &str, table: &Table<'_>, references: &mut References) -> Map<String, Value> {
    let entries = table.entries();
    let converted = entries.filter_map(|entry| {
        let key = entry.key.replace('~', "~0").replace('/', "~1");
        let value = value_at(format!("{pointer}/{key}"), entry, references)?;
        Some((entry.key.to_owned(), value))
    });
    converted.collect()
}

fn value_at(pointer: String, entry: Entry<'_>, references: &mut References) -> Option<Value> {
    let key = entry.key;
    match entry.value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(boolean) => Some(Value::Bool(*boolean)),
        DeValue::Integer(number) => integer(entry, number).map(Value::Number),
        DeValue::Float(number) => float(entry, number.as_str()).map(Value::Number),
        DeValue::Datetime(_) => entry.fail(
            format!("`{key}` is a date-time, which JSON and YAML do not have"),
            format!("write it in quotes: `\"{}\"`", entry.source()),
        ),
        DeValue::Array(_) => {
            let elements = entry.list()?.into_iter().enumerate();
            let converted = elements.filter_map(|(index, element)| {
                value_at(format!("{pointer}/{index}"), element, references)
            });
            Some(Value::Array(converted.collect()))
        }
        DeValue::Table(_) if from_env::is_reference(entry) => {
            let reference = from_env::reference().read(entry)?;
            references.push((Place::Agent(pointer), reference));
            Some(Value::Null)
        }
        DeValue::Table(_) => {
            let table = entry.table(format!("`{key}`"))?;
            Some(Value::Object(object_at(&pointer, &table, references)))
        }
    }
}

fn integer(entry: Entry<'_>, number: &DeInteger<'_>) -> Option<Number> {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Number::from);
    let parsed = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Number::from));
    parsed.ok().or_else(|| {
        let message = format!("`{}` does not fit into 64 bits", entry.key);
        entry.fail(message, "write a smaller number, or a string")
    })
}

fn float(entry: Entry<'_>, text: &str) -> Option<Number> {
    text.parse().ok().and_then(Number::from_f64).or_else(|| {
        let message = format!("`{}` is not a finite number", entry.key);
        let help =
            "JSON and YAML parsers treat infinities differently: write a finite number, or a string";
        entry.fail(message, help)
    })
}
