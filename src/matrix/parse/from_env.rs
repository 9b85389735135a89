//! `{ from-env = "NAME" }` in place of a value.

use serde_json::json;
use toml::de::DeValue;

use super::keys::{keys, table};
use super::reader::{Entry, Table};
use super::shape::{Shape, name};
use crate::matrix::FromEnv;
use crate::matrix::environment::{Place, TextSource};
use crate::matrix::problem::Problem;

const KEY: &str = "from-env";

/// Whether the value is a reference to the environment.
pub(super) fn is_reference(entry: Entry<'_>) -> bool {
    let table = entry.value.as_table();
    table.is_some_and(|table| table.contains_key(KEY))
}

/// A text, or a reference in place of it.
pub(super) fn or(text: Shape<String>) -> Shape<TextSource> {
    let reference = reference();
    let schema = json!({ "anyOf": [text.schema, reference.schema] });
    Shape::new(schema, move |entry| {
        if is_reference(entry) {
            return reference.read(entry).map(TextSource::FromEnv);
        }
        text.read(entry).map(TextSource::Literal)
    })
}

fn reference() -> Shape<FromEnv<()>> {
    let reference = table("a value with `from-env`", |keys| {
        let mut name = None;
        keys! { keys;
            /// The name of the environment variable.
            "from-env": variable() => name, required "\"NAME\"";
        }
        name.map(|variable| FromEnv::new(variable, keys.table.span))
    });
    reference.then(|reference, _| reference)
}

fn variable() -> Shape<String> {
    name().checked(|variable, entry| {
        if !variable.contains('=') {
            return Some(());
        }
        let message = format!("`{variable}` can't be the name of an environment variable");
        entry.fail(message, "", "remove the `=`")
    })
}

/// All references in a value that is converted to JSON. Their places are JSON pointers.
pub(super) fn all(entry: Entry<'_>) -> Vec<FromEnv<Place>> {
    let (reference, mut found) = (reference(), Vec::new());
    let mut left = vec![(String::new(), entry)];
    while let Some((pointer, entry)) = left.pop() {
        match entry.value {
            _ if is_reference(entry) => {
                let read = reference.read(entry);
                found.extend(read.map(|read| read.at(Place::Agent(pointer))));
            }
            DeValue::Array(_) => {
                let elements = entry.list().into_iter().flatten().enumerate();
                left.extend(
                    elements.map(|(index, element)| (format!("{pointer}/{index}"), element)),
                );
            }
            DeValue::Table(_) => {
                let table = entry.table(String::new());
                let entries = table.iter().flat_map(Table::entries);
                left.extend(entries.map(|entry| (below(&pointer, entry.key), entry)));
            }
            _ => {}
        }
    }
    found
}

/// The pointer to `key` in the table at `pointer`.
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Reports all references in a value that must not contain any.
pub(super) fn reject(entry: Entry<'_>) -> Option<()> {
    let references = all(entry);
    for reference in &references {
        let (key, variable) = (entry.key, &reference.variable);
        let message =
            format!("`{key}` can't take a value from the environment variable `{variable}`");
        let help = "only `env`, `agent` and `[run] secrets` can take values from the environment";
        let problem = Problem::at(reference.span, message, "").with_help(help);
        entry.report.add(problem);
    }
    references.is_empty().then_some(())
}
