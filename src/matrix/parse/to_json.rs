//! Converts TOML values that the runner doesn't interpret (the agent's configuration, kind's file) to JSON.
//!
//! Values that can't be written as JSON are problems: dates, infinities and integers of more than 64 bits.

use serde_json::{Map, Number, Value};
use toml::de::{DeInteger, DeValue};

use super::from_env;
use super::reader::{Entry, Table};

/// The table as a JSON object.
pub(super) fn object(table: &Table<'_>) -> Map<String, Value> {
    table
        .entries()
        .filter_map(|entry| Some((entry.key.to_owned(), value(entry)?)))
        .collect()
}

/// The value as JSON, with `null` in place of references to the environment.
pub(super) fn value(entry: Entry<'_>) -> Option<Value> {
    let key = entry.key;
    match entry.value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(boolean) => Some(Value::Bool(*boolean)),
        DeValue::Integer(number) => integer(entry, number).map(Value::Number),
        DeValue::Float(number) => float(entry, number.as_str()).map(Value::Number),
        DeValue::Datetime(_) => entry.fail(
            format!("`{key}` is a date-time, which JSON and YAML do not have"),
            "",
            format!("write it in quotes: `\"{}\"`", entry.source()),
        ),
        DeValue::Array(_) => {
            let elements = entry.list()?.into_iter().filter_map(value);
            Some(Value::Array(elements.collect()))
        }
        // The reference is resolved later.
        DeValue::Table(_) if from_env::is_reference(entry) => Some(Value::Null),
        DeValue::Table(_) => {
            let table = entry.table(format!("`{key}`"))?;
            Some(Value::Object(object(&table)))
        }
    }
}

fn integer(entry: Entry<'_>, number: &DeInteger<'_>) -> Option<Number> {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Number::from);
    let parsed = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Number::from));
    parsed.ok().or_else(|| {
        let message = format!("`{}` does not fit into 64 bits", entry.key);
        entry.fail(message, "", "write a smaller number, or a string")
    })
}

fn float(entry: Entry<'_>, text: &str) -> Option<Number> {
    text.parse().ok().and_then(Number::from_f64).or_else(|| {
        let message = format!("`{}` is not a finite number", entry.key);
        let help =
            "JSON and YAML parsers treat infinities differently: write a finite number, or a string";
        entry.fail(message, "", help)
    })
}
