//! `{ from-env = "NAME" }` in place of a value.

use toml::de::DeValue;

use super::reader::{Entry, Table};
use crate::matrix::FromEnv;
use crate::matrix::environment::Place;
use crate::matrix::problem::Problem;

const KEY: &str = "from-env";

/// Whether the value comes from the environment.
pub(super) fn is_reference(entry: Entry<'_>) -> bool {
    let table = entry.value.as_table();
    table.is_some_and(|table| table.contains_key(KEY))
}

/// The reference in place of the value. An invalid one is reported.
pub(super) fn read<P>(entry: Entry<'_>, place: P) -> Option<FromEnv<P>> {
    let table = entry.table(format!("a value with `{KEY}`"))?;
    table.only(&[KEY]);
    let name = table.get(KEY)?;
    let variable = name.plain_text()?;
    if variable.contains('=') {
        let message = format!("`{variable}` can't be the name of an environment variable");
        name.problem(message, "", "a name has no `=`");
        return None;
    }
    Some(FromEnv {
        variable: variable.to_owned(),
        span: entry.span,
        place,
    })
}

/// All references in a table that becomes JSON. Their places are JSON pointers.
pub(super) fn all(table: &Table<'_>) -> Vec<FromEnv<Place>> {
    let mut found = Vec::new();
    for entry in table.entries() {
        within(entry, format!("/{}", escaped(entry.key)), &mut found);
    }
    found
}

/// Reports every reference in the table, which is called `name` in messages. Returns whether there is none.
pub(super) fn reject(table: &Table<'_>, name: &str) -> bool {
    let references = all(table);
    for reference in &references {
        let variable = &reference.variable;
        let message = format!("{name} can't hold the value of the variable `{variable}`");
        let help = "only `env`, `agent` and `[run] secrets` take values from the environment";
        let problem = Problem::at(reference.span, message, "").with_help(help);
        table.report.add(problem);
    }
    references.is_empty()
}

fn within(entry: Entry<'_>, pointer: String, found: &mut Vec<FromEnv<Place>>) {
    if is_reference(entry) {
        found.extend(read(entry, Place::Agent(pointer)));
        return;
    }
    match entry.value {
        DeValue::Array(_) => {
            for (index, element) in entry.list().into_iter().flatten().enumerate() {
                within(element, format!("{pointer}/{index}"), found);
            }
        }
        DeValue::Table(_) => {
            let table = entry.table(String::new());
            for entry in table.iter().flat_map(Table::entries) {
                within(entry, format!("{pointer}/{}", escaped(entry.key)), found);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// A key, escaped for a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
