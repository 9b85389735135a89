//! Tables and their keys. One function both describes and reads the keys of a table, so that the reader, the JSON
//! Schema and the documentation can't contradict each other.

use std::any::Any;
use std::cell::LazyCell;
use std::collections::BTreeMap;

use miette::SourceSpan;
use serde_json::{Map, Value, json};
use toml::de::DeTable;

use super::document::Document;
use super::reader::{Entry, Located};
use super::shape::{Elements, Shape, elements};
use crate::matrix::nearest::suggestion;
use crate::matrix::problem::Problem;

/// Renamed keys: the old name and the current one. The error about an old name states the current one.
const RENAMED: [(&str, &str); 4] = [
    ("tag", "image"),
    ("tuned", "fast-setup"),
    ("prefix", "cluster-prefix"),
    ("restart", "agents"),
];

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
#[derive(Debug)]
pub(super) struct Table<'d> {
    /// The name for messages.
    pub(super) name: String,
    /// The table's header, or the whole table if it is an inline table.
    pub(super) span: SourceSpan,
    content: &'d DeTable<'d>,
    pub(super) document: &'d Document<'d>,
    /// The names of the keys so far.
    names: Vec<String>,
    /// Whether keys without a description are allowed.
    is_open: bool,
    /// The descriptions of the keys; `None` if they are only read.
    described: Option<Vec<Key>>,
}

/// The description of a key.
#[derive(Debug)]
pub(super) struct Key {
    /// The key's name; `None` if the description applies to all keys that aren't described separately.
    pub(super) name: Option<String>,
    pub(super) schema: Value,
    pub(super) is_required: bool,
}

/// The keys that `read` describes.
pub(super) fn described<V>(read: impl FnOnce(&mut Table<'_>) -> V) -> Vec<Key> {
    let document = Document::parse("");
    let mut table = Table::root(&document);
    table.described = Some(Vec::new());
    read(&mut table);
    table.described.unwrap_or_default()
}

impl<'d> Table<'d> {
    pub(super) fn new(
        name: impl Into<String>,
        span: SourceSpan,
        content: &'d DeTable<'d>,
        document: &'d Document<'d>,
    ) -> Self {
        Self {
            name: name.into(),
            span,
            content,
            document,
            names: Vec::new(),
            is_open: false,
            described: None,
        }
    }

    /// The document itself.
    pub(super) fn root(document: &'d Document<'d>) -> Self {
        Self::new("the file", (0..0).into(), &document.root, document)
    }

    /// Reads the keys with `read`, and reports all keys that it doesn't describe.
    pub(super) fn read<V>(mut self, read: impl FnOnce(&mut Self) -> V) -> V {
        let value = read(&mut self);
        if !self.is_open {
            for unknown in self.undescribed() {
                self.report_unknown(unknown, &self.names());
            }
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
        self.get(name)
    }

    /// Describes all other keys, and returns their entries in the order of the file. The caller has to report unknown
    /// keys.
    pub(super) fn others(&mut self, doc: &str, schema: impl FnOnce() -> Value) -> Vec<Entry<'d>> {
        self.is_open = true;
        self.describe(None, doc, schema);
        self.undescribed()
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
        if self.get(name).is_none() {
            let message = format!("{} has no `{name}`", self.name);
            self.report_missing(message, format!("add `{name} = {example}`"));
        }
    }

    /// The names of the keys so far.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry<'d>> {
        let (key, value) = self.content.get_key_value(key)?;
        Some(Entry {
            key: key.get_ref(),
            key_span: key.span().into(),
            value: value.get_ref(),
            span: value.span().into(),
            document: self.document,
        })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'d>> {
        let keys = self.content.keys();
        keys.filter_map(|key| self.get(key.get_ref()))
    }

    /// The entries whose keys aren't described so far, in the order of the file.
    fn undescribed(&self) -> Vec<Entry<'d>> {
        let mut entries: Vec<_> = self.entries().collect();
        entries.retain(|entry| !self.names.iter().any(|name| name == entry.key));
        // The parsed document doesn't keep the order of the file.
        entries.sort_by_key(|entry| entry.key_span.offset());
        entries
    }

    /// Reports a key that isn't in `known`.
    pub(super) fn report_unknown(&self, entry: Entry<'_>, known: &[&str]) {
        let message = format!("unknown key `{}` in {}", entry.key, self.name);
        let mut renamed = RENAMED.iter();
        let renamed = renamed.find(|(old, new)| *old == entry.key && known.contains(new));
        let help = match renamed {
            Some((_, new)) => format!("it was renamed to `{new}`"),
            None => suggestion(entry.key, known, "known keys:"),
        };
        let problem = Problem::at(entry.key_span, message, help);
        self.document.report(problem);
    }

    /// Reports that the table lacks something.
    pub(super) fn report_missing(&self, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::at(self.span, message, help);
        self.document.report_missing(problem);
    }
}

/// The JSON Schema of the table whose keys `read` describes.
pub(super) fn schema<V>(read: impl FnOnce(&mut Table<'_>) -> V) -> Value {
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
    read: impl Fn(&mut Table<'_>) -> V + 'static,
) -> Shape<V> {
    Shape::new(schema(&read), move |entry| {
        Some(entry.table(name)?.read(&read))
    })
}

/// An array of tables. Messages call it by its key, after `parent`.
pub(super) fn tables<V: 'static>(
    parent: &'static str,
    read: impl Fn(&mut Table<'_>) -> Option<V> + 'static,
) -> Shape<Elements<V>> {
    let table = Shape::new(schema(&read), move |entry| {
        entry
            .table(format!("`[[{parent}{}]]`", entry.key))?
            .read(&read)
    });
    elements(table).guarded(move |entry| {
        if !entry.value.is_table() {
            return Some(());
        }
        let path = format!("{parent}{}", entry.key);
        let help = format!("write its header with two brackets: `[[{path}]]`");
        entry.fail(format!("`{path}` must be an array of tables"), help)
    })
}

/// An array of tables with unique names. Messages call one of them `singular`. The span of each value from `read` has
/// to be that of its name.
pub(super) fn named_tables<V: 'static>(
    singular: &'static str,
    read: impl Fn(&mut Table<'_>) -> Option<Located<V>> + 'static,
    name: impl Fn(&V) -> &str + 'static,
) -> Shape<Vec<V>> {
    tables("", read).then(move |tables, entry| {
        let mut seen = BTreeMap::new();
        for Located { value, span } in &tables.list {
            let name = name(value);
            if let Some(first) = seen.insert(name, *span) {
                let message = format!("two {} have the name `{name}`", entry.key);
                let help = format!("give each {singular} its own `name`");
                let problem = Problem::at(*span, message, help);
                entry.document.report(problem.repeats(first));
            }
        }
        let values = tables.list.into_iter();
        Some(values.map(|located| located.value).collect())
    })
}
