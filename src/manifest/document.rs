//! Reads objects from YAML: splits the documents, opens lists, and reads the kind and name of each object. Doesn't
//! interpret the objects any further.

use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::{ManifestProblem, Object, Place};

/// Reads all objects of a file in order. A part that can't be read becomes a problem.
pub(super) fn read(file: &str, text: &str, problems: &mut Vec<ManifestProblem>) -> Vec<Object> {
    // The rules of kubectl and Helm: `0644` is octal, `yes` is true, and the last of several equal keys counts.
    let options = serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    let documents = serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options);
    let documents = documents.unwrap_or_else(|error| {
        let message = format!("is not valid YAML: {error}");
        let remedy = if text.contains("{{") {
            "correct the YAML; to render a Helm template, use `chart` instead of `manifests`"
        } else {
            "correct the YAML"
        };
        problems.push(ManifestProblem::new(Place::file(file), message, remedy));
        Vec::new()
    });
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let (number, line) = (index + 1, document.referenced.line());
        let source = Place::file(format!("{file}, document {number}, line {line}"));
        open(document.value, source, &mut objects, problems);
    }
    objects
}

/// Adds the object of a document, or all items of a list. An empty list may have `null` in place of its items.
fn open(
    mut value: Value,
    source: Place,
    objects: &mut Vec<Object>,
    problems: &mut Vec<ManifestProblem>,
) {
    let is_list = value["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    let items = value.get_mut("items").filter(|_| is_list);
    if let Some(items @ (Value::Array(_) | Value::Null)) = items {
        let items = items.as_array_mut().into_iter().flatten();
        for (index, item) in items.enumerate() {
            let source = source.below(&format!("items[{index}]"));
            open(item.take(), source, objects, problems);
        }
        return;
    }
    match Object::read(value, source) {
        Ok(object) => objects.push(object),
        Err(problem) => problems.push(problem),
    }
}
