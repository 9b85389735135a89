//! Changes the strings in events.

use serde_json::Value;

use super::Event;

impl Event {
    /// A copy of the event in which each string is replaced by the result of `change(field, text)`. The keys of a table
    /// count as strings of the field that contains the table. `change` has to return ids and fixed words unchanged.
    #[must_use]
    pub fn map_texts(&self, change: impl Fn(&str, &str) -> String) -> Self {
        let changed = serde_json::to_value(self)
            .and_then(|value| serde_json::from_value(map("", value, &change)));
        changed.unwrap_or_else(|error| unreachable!("free texts can hold any text: {error}"))
    }
}

fn map(field: &str, value: Value, change: &impl Fn(&str, &str) -> String) -> Value {
    match value {
        Value::Object(table) => {
            let entries = table.into_iter();
            let changed =
                entries.map(|(name, value)| (change(field, &name), map(&name, value, change)));
            Value::Object(changed.collect())
        }
        Value::Array(list) => {
            let changed = list.into_iter().map(|value| map(field, value, change));
            Value::Array(changed.collect())
        }
        Value::String(text) => Value::String(change(field, &text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
