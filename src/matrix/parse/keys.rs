//! The keys of a table. One function both describes and reads them, so that the reader, the JSON Schema and the
//! documentation can't contradict each other.

use std::any::Any;
use std::cell::LazyCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reader::{Entry, Located, Table};
use super::report::Report;
use super::shape::{Shape, list};
use super::syntax::Document;
use crate::matrix::problem::Problem;

/// Describes and reads keys. Each key has its documentation, name, [`Shape`] and destination, and an example if the key
/// is required.
macro_rules! keys {
    ($keys:expr; $($(#[doc = $doc:literal])+ $name:literal: $shape:expr => $place:expr $(, required $example:literal)?;)+) => {
        $($keys.key($name, concat!($($doc),+), || $shape, &mut $place);
        $($keys.require($name, $example);)?)+
    };
}
pub(super) use keys;

/// A table whose keys are described and read one after another.
pub(super) struct Keys<'d> {
    /// The table. It is empty if its keys are only described.
    pub(super) table: Table<'d>,
    names: Vec<String>,
    /// Whether keys without a description are allowed.
    is_open: bool,
    /// The descriptions of the keys; `None` if they are only read.
    described: Option<Vec<Key>>,
}

/// The description of a key.
pub(super) struct Key {
    /// The key's name; `None` if the description applies to all keys that aren't described separately.
    pub(super) name: Option<String>,
    pub(super) schema: Value,
    pub(super) is_required: bool,
}

/// The keys that `read` describes.
pub(super) fn described<V>(read: impl FnOnce(&mut Keys<'_>) -> V) -> Vec<Key> {
    let document = Document::parse("");
    let report = Report::new("", &document);
    let mut keys = Keys::new(Table::root(&document.root, &report));
    keys.described = Some(Vec::new());
    read(&mut keys);
    keys.described.unwrap_or_default()
}

impl<'d> Keys<'d> {
    fn new(table: Table<'d>) -> Self {
        Self {
            table,
            names: Vec::new(),
            is_open: false,
            described: None,
        }
    }

    /// Reads `table` with `read`, and reports all keys that it doesn't describe.
    pub(super) fn read<V>(table: Table<'d>, read: impl FnOnce(&mut Self) -> V) -> V {
        let mut keys = Self::new(table);
        let value = read(&mut keys);
        if !keys.is_open {
            let entries = keys.table.entries();
            let unknown = entries.filter(|entry| !keys.names.iter().any(|name| name == entry.key));
            unknown.for_each(|entry| keys.table.report_unknown(entry, &keys.names()));
        }
        value
    }

    /// Describes and reads the key `name`. `doc` is its description in Markdown. `place` contains the default, which
    /// the value (or `Some` of it) replaces.
    pub(super) fn key<V: 'static, P: From<V> + 'static>(
        &mut self,
        name: &str,
        doc: &str,
        shape: impl FnOnce() -> Shape<V>,
        place: &mut P,
    ) {
        let shape = LazyCell::new(shape);
        let default: &dyn Any = place;
        let entry = self.entry(name, doc, || {
            let default = default.downcast_ref().map(|default| shape.write(default));
            let mut schema = shape.schema.clone();
            if let Some(default) = default.filter(|default| !default.is_null()) {
                schema["default"] = default;
            }
            schema
        });
        if let Some(value) = entry.and_then(|entry| shape.read(entry)) {
            *place = value.into();
        }
    }

    /// Describes a key. If the table has the key, returns its entry, which the caller has to read.
    pub(super) fn entry(
        &mut self,
        name: &str,
        doc: &str,
        schema: impl FnOnce() -> Value,
    ) -> Option<Entry<'d>> {
        self.names.push(name.to_owned());
        self.describe(Some(name), doc, schema);
        self.table.get(name)
    }

    /// Describes all other keys, and returns their entries in the order of the file. The caller has to report unknown
    /// keys.
    pub(super) fn others(&mut self, doc: &str, schema: impl FnOnce() -> Value) -> Vec<Entry<'d>> {
        self.is_open = true;
        self.describe(None, doc, schema);
        let mut others: Vec<_> = self.table.entries().collect();
        others.retain(|entry| !self.names.iter().any(|name| name == entry.key));
        // The parsed document doesn't keep the order of the file.
        others.sort_by_key(|entry| entry.key_span.offset());
        others
    }

    /// Describes the key `name`, or all other keys if there is no name. `doc` may be empty.
    pub(super) fn describe(
        &mut self,
        name: Option<&str>,
        doc: &str,
        schema: impl FnOnce() -> Value,
    ) {
        if let Some(described) = &mut self.described {
            let mut schema = schema();
            if !doc.is_empty() {
                schema["description"] = json!(doc.trim());
            }
            described.push(Key {
                name: name.map(str::to_owned),
                schema,
                is_required: false,
            });
        }
    }

    /// Marks `name`, the key that was described last, as required. `example` is a value for the error message.
    pub(super) fn require(&mut self, name: &str, example: &str) {
        if let Some(key) = self.described.iter_mut().flatten().next_back() {
            key.is_required = true;
        }
        if self.table.get(name).is_none() {
            let message = format!("{} has no `{name}`", self.table.name);
            let help = format!("add `{name} = {example}`");
            self.table.report_missing(message, help);
        }
    }

    /// The names of the keys so far.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// The JSON Schema of the table whose keys `read` describes.
pub(super) fn schema<V>(read: impl FnOnce(&mut Keys<'_>) -> V) -> Value {
    let (mut properties, mut required, mut others) = (Map::new(), Vec::new(), json!(false));
    for key in described(read) {
        required.extend(key.name.clone().filter(|_| key.is_required));
        match key.name {
            Some(name) => drop(properties.insert(name, key.schema)),
            None => others = key.schema,
        }
    }
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": others });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A table. Messages call it `name`.
pub(super) fn table<V: 'static>(
    name: &'static str,
    read: impl Fn(&mut Keys<'_>) -> V + 'static,
) -> Shape<V> {
    Shape::new(schema(&read), move |entry| {
        Some(Keys::read(entry.table(name.to_owned())?, &read))
    })
}

/// An array of tables. Messages call it `path`. Tables with problems are left out.
pub(super) fn tables<V: 'static>(
    path: &'static str,
    read: impl Fn(&mut Keys<'_>) -> Option<V> + 'static,
) -> Shape<Vec<V>> {
    let tables = list(Shape::new(schema(&read), move |entry| {
        Keys::read(entry.table(format!("`[[{path}]]`"))?, &read)
    }));
    tables.guarded(move |entry| {
        if !entry.value.is_table() {
            return Some(());
        }
        let message = format!("`{path}` must be an array of tables");
        let help = format!("write its header with two brackets: `[[{path}]]`");
        entry.fail(message, help)
    })
}

/// An array of tables with unique names. Messages call it `path`. The span of each value from `read` has to be that of
/// its name.
pub(super) fn named_tables<V: 'static>(
    path: &'static str,
    read: impl Fn(&mut Keys<'_>) -> Option<Located<V>> + 'static,
    name: impl Fn(&V) -> &str + 'static,
) -> Shape<Vec<V>> {
    tables(path, read).then(move |values, entry| {
        let mut seen = BTreeMap::new();
        for Located { value, span } in &values {
            let name = name(value);
            if let Some(first) = seen.insert(name, *span) {
                let message = format!("two {path} have the name `{name}`");
                let singular = path.trim_end_matches('s');
                let help = format!("give each {singular} its own `name`");
                let problem = Problem::at(*span, message, help).labelled("again");
                entry.report.add(problem.and_at(first, "first here"));
            }
        }
        Some(values.into_iter().map(|located| located.value).collect())
    })
}
