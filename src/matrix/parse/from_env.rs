//! `{ from-env = "NAME" }` in place of a value.

use serde_json::json;

use super::keys::{keys, table};
use super::reader::Entry;
use super::shape::{Shape, name};
use crate::matrix::FromEnv;
use crate::matrix::environment::TextSource;

const KEY: &str = "from-env";

/// Whether the value is a reference to the environment.
pub(super) fn is_reference(entry: Entry<'_>) -> bool {
    let table = entry.value.as_table();
    table.is_some_and(|table| table.contains_key(KEY))
}

/// The shape of `text`, with a reference as an alternative.
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

/// A reference to the environment.
pub(super) fn reference() -> Shape<FromEnv> {
    let reference = table("a value with `from-env`", |keys| {
        let mut name = None;
        keys! { keys;
            /// The name of the environment variable.
            "from-env": variable() => name, required "\"NAME\"";
        }
        name.map(|variable| FromEnv {
            variable,
            span: keys.span,
        })
    });
    reference.then(|reference, _| reference)
}

fn variable() -> Shape<String> {
    let problem = |variable: &String, _: &str| {
        let message = || format!("`{variable}` can't be the name of an environment variable");
        variable.contains('=').then(message)
    };
    name().checked(problem, "remove the `=`")
}
