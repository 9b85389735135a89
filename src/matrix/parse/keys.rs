//! The keys of a table, described once. What reads the table, its JSON Schema and its documentation follow from its
//! [`Keys`].

use std::any::Any;

use serde_json::{Map, Value, json};

use super::reader::{Entry, Table};
use super::shape::{Shape, list};

/// Adds keys to `$base`: for each one its documentation, name, [`Shape`] and place, and an example if it is required.
macro_rules! keys {
    ($base:expr; $($(#[doc = $doc:literal])+ $name:literal: $shape:expr => $($place:ident).+ $(, required $example:literal)?;)+) => {
        $base$(.key($name, $shape, |target| &mut target.$($place).+, concat!($($doc),+))$(.required($example))?)+
    };
}
pub(super) use keys;

/// The keys of a table whose content becomes a `T`.
pub(super) struct Keys<T> {
    /// What has the default of each key in its place.
    default: T,
    keys: Vec<Key<T>>,
}

struct Key<T> {
    /// `None` stands for all keys without a description of their own.
    name: Option<String>,
    doc: &'static str,
    schema: Value,
    /// How to give a required key.
    example: Option<&'static str>,
    read: Read<T>,
}

type Read<T> = Box<dyn Fn(&mut T, &Reading<'_, '_>)>;

/// A key that is read, and its table.
pub(super) struct Reading<'r, 'd> {
    pub(super) entry: Entry<'d>,
    pub(super) table: &'r Table<'d>,
    /// The keys of the table that have a description of their own.
    pub(super) known: &'r [&'r str],
}

impl<T: Clone + Default + 'static> Keys<T> {
    /// No keys yet, for a table with the defaults of its type.
    pub(super) fn new() -> Self {
        Self::of(T::default())
    }
}

impl<T: Clone + 'static> Keys<T> {
    /// No keys yet, for a table with these defaults.
    pub(super) fn of(default: T) -> Self {
        let keys = Vec::new();
        Self { default, keys }
    }

    /// Adds a key: its name, its shape, the place for its value (or an [`Option`] of it), and its description in
    /// Markdown.
    pub(super) fn key<V: 'static, P: From<V> + 'static>(
        mut self,
        name: &str,
        shape: Shape<V>,
        place: impl Fn(&mut T) -> &mut P + 'static,
        doc: &'static str,
    ) -> Self {
        let mut schema = shape.schema.clone();
        let default: &dyn Any = place(&mut self.default);
        match default.downcast_ref().map(|default| shape.write(default)) {
            None | Some(Value::Null) => {}
            Some(default) => schema["default"] = default,
        }
        self.reads(Some(name), schema, doc, move |target, reading| {
            if let Some(value) = shape.read(reading.entry) {
                *place(target) = value.into();
            }
        })
    }

    /// Adds a key that `read` reads. Without a name, these are all other keys, and `read` rejects those that it
    /// doesn't know.
    pub(super) fn reads(
        mut self,
        name: Option<&str>,
        schema: Value,
        doc: &'static str,
        read: impl Fn(&mut T, &Reading<'_, '_>) + 'static,
    ) -> Self {
        self.keys.push(Key {
            name: name.map(str::to_owned),
            doc: doc.trim(),
            schema,
            example: None,
            read: Box::new(read),
        });
        self
    }

    /// Makes the last key a required one; `example` shows how to give it.
    pub(super) fn required(mut self, example: &'static str) -> Self {
        if let Some(key) = self.keys.last_mut() {
            key.example = Some(example);
        }
        self
    }

    /// Adds the keys of a part of `T`.
    pub(super) fn with<P: 'static>(
        mut self,
        part: Keys<P>,
        place: impl Fn(&mut T) -> &mut P + Copy + 'static,
    ) -> Self {
        self.keys.extend(part.keys.into_iter().map(|key| Key {
            name: key.name,
            doc: key.doc,
            schema: key.schema,
            example: key.example,
            read: Box::new(move |target: &mut T, reading: &Reading<'_, '_>| {
                (key.read)(place(target), reading);
            }),
        }));
        self
    }

    /// The names of the keys.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.keys.iter().filter_map(|key| key.name.as_deref());
        names.collect()
    }

    /// Reads `table`, key by key in the order of their descriptions.
    pub(super) fn read(&self, target: &mut T, table: &Table<'_>) {
        let known = &self.names()[..];
        let mut others: Vec<_> = table.entries().collect();
        others.retain(|entry| !known.contains(&entry.key));
        // The document doesn't keep the order.
        others.sort_by_key(|entry| entry.key_span.offset());
        if self.keys.len() == known.len() {
            others
                .drain(..)
                .for_each(|entry| table.reject(entry, known));
        }
        for key in &self.keys {
            let entries = match &key.name {
                Some(name) => Vec::from_iter(table.get(name)),
                None => others.clone(),
            };
            if let (Some(name), Some(example), []) = (&key.name, key.example, &entries[..]) {
                table.lacks(name, example);
            }
            for entry in entries {
                let reading = Reading {
                    entry,
                    table,
                    known,
                };
                (key.read)(target, &reading);
            }
        }
    }

    /// The table, which is called `name` in messages, and from which `finish` makes the value.
    pub(super) fn table<V: 'static>(
        self,
        name: impl Into<String>,
        finish: impl Fn(T, &Table<'_>) -> V + 'static,
    ) -> Shape<V> {
        let name = name.into();
        Shape::new(self.schema(), move |entry| {
            let table = entry.table(name.clone())?;
            let mut target = self.default.clone();
            self.read(&mut target, &table);
            Some(finish(target, &table))
        })
    }

    /// An array of such tables, which is called `path` in messages. Those that `finish` rejects are left out.
    pub(super) fn tables<V: 'static>(
        self,
        path: &'static str,
        finish: impl Fn(T, &Table<'_>) -> Option<V> + 'static,
    ) -> Shape<Vec<V>> {
        let table = self.table(format!("`[[{path}]]`"), finish);
        let tables = list(table.then(|read, _| read));
        Shape::new(tables.schema.clone(), move |entry| {
            if !entry.value.is_table() {
                return tables.read(entry);
            }
            let message = format!("`{path}` must be an array of tables");
            let help = format!("its header has two brackets: `[[{path}]]`");
            entry.fail(message, "", help)
        })
    }

    /// Each key's name, schema, and whether it is required.
    pub(super) fn described(&self) -> impl Iterator<Item = (Option<&str>, Value, bool)> {
        self.keys.iter().map(|key| {
            let mut schema = key.schema.clone();
            schema["description"] = json!(key.doc);
            (key.name.as_deref(), schema, key.example.is_some())
        })
    }

    /// The table as JSON Schema.
    pub(super) fn schema(&self) -> Value {
        let (mut properties, mut required, mut others) = (Map::new(), Vec::new(), json!(false));
        for (name, schema, is_required) in self.described() {
            required.extend(name.filter(|_| is_required));
            match name {
                Some(name) => drop(properties.insert(name.to_owned(), schema)),
                None => others = schema,
            }
        }
        let mut schema =
            json!({ "type": "object", "properties": properties, "additionalProperties": others });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }
}
