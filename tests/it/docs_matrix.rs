//! Checks the reference pages against the code: examples must be valid, and tables must match.

use e2e_matrix::matrix::{Counter, Filter, Matrix, reference, select};
use serde_json::{Value, json};

const MATRIX: &str = include_str!("../../docs/matrix.md");
const TUTORIAL: &str = include_str!("../../docs/tutorial.md");
const README: &str = include_str!("../../README.md");
const FILTERS: &str = include_str!("../../docs/filters.md");

/// The code blocks of a page that are marked with `language`.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fenced = page.split("```").skip(1).step_by(2);
    let blocks = fenced.filter_map(|block| block.split_once('\n'));
    blocks
        .filter(|(info, _)| *info == language)
        .map(|(_, text)| text)
        .collect()
}

/// The example as a complete file: a fragment gets the `[matrix]` table that the page assumes.
fn completed(example: &str) -> String {
    if example.starts_with("[matrix]") {
        return example.to_owned();
    }
    let config = if example.contains("[config.fast]") {
        ""
    } else {
        "[config.fast]\n"
    };
    format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nconfig = [\"default\", \"fast\"]\n{config}{example}"
    )
}

#[test]
fn every_example_of_a_matrix_file_is_valid() {
    let examples = [MATRIX, TUTORIAL, README].map(|page| blocks(page, "toml"));
    assert!(
        examples[0].len() > 7 && examples[1].len() > 2 && examples[2].len() > 1,
        "the examples must be found in the pages"
    );
    for example in examples.concat() {
        if let Err(problems) = Matrix::parse("docs", &completed(example)) {
            panic!("{example}\n{:?}", problems.iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn every_example_of_a_filter_selects_something_but_not_everything() {
    let matrix = Matrix::parse("matrix.toml", include_str!("../../matrix.toml")).unwrap();
    let blocks = blocks(FILTERS, "filter");
    assert!(!blocks.is_empty(), "the examples must be found in the page");
    for example in blocks.into_iter().flat_map(str::lines) {
        let filter = Filter::parse(example).unwrap();
        let selected = select(&matrix, &[filter]).unwrap().len();
        assert!(
            (1..matrix.cells.len()).contains(&selected),
            "{example} selects {selected} cells"
        );
    }
}

#[test]
fn every_counter_is_named() {
    for counter in Counter::ALL {
        assert!(MATRIX.contains(&format!("`{counter}`")), "{counter}");
    }
}

#[test]
fn the_published_schema_accepts_each_example_and_the_shipped_file() {
    let examples = [MATRIX, TUTORIAL, README].map(|page| blocks(page, "toml"));
    let examples = examples.concat().into_iter().map(completed);
    let schema = serde_json::from_str(&e2e_matrix::cli::reference::matrix_schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for text in examples.chain([include_str!("../../matrix.toml").to_owned()]) {
        let file = toml::from_str(&text).unwrap();
        let fault = schema.validate(&file).err();
        assert!(fault.is_none(), "{text}\n{fault:?}");
    }
}

/// A file with every table whose keys the schema describes.
fn complete_file() -> Value {
    json!({
        "matrix": { "kubernetes": ["1.36"], "config": ["default", "fast"], "agent": ["new"] },
        "kubernetes": { "1.36": {} },
        "config": { "fast": { "expect": { "heartbeat_count": { "exactly": 1 } }, "kind": {} } },
        "agent": { "new": {} },
        "images": { "agent": { "build": {} } },
        "deploy": {}, "run": {}, "existing": {},
        "phases": { "cluster": {}, "readiness": {}, "restart": {} },
        "checks": [{ "endpoint": "drift", "pointer": "", "present": true }],
        "commands": [{ "after": "restart", "run": ["a"] }],
    })
}

/// The JSON pointers of all tables in `value`.
fn tables(value: &Value, pointer: String, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => return,
    };
    for (key, value) in inner {
        tables(value, format!("{pointer}/{key}"), found);
    }
    if value.is_object() {
        found.push(pointer);
    }
}

/// The schema of the table at `pointer`.
fn described<'s>(schema: &'s Value, pointer: &str) -> &'s Value {
    pointer.split('/').skip(1).fold(schema, |at, key| {
        let next = [
            &at["properties"][key],
            &at["items"],
            &at["additionalProperties"],
        ];
        let next = next.into_iter().find(|next| next.is_object()).unwrap();
        match next["$ref"].as_str() {
            Some(pointer) => schema.pointer(&pointer[1..]).unwrap(),
            None => next,
        }
    })
}

/// Keys that accept any value.
const ANYTHING: [&str; 2] = ["/checks/0/equals", "/config/fast/kind/"];

#[test]
fn reader_and_schema_reject_unknown_keys_and_wrong_types_in_each_table() {
    let (whole, schema) = (complete_file(), reference::schema());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let accepted = |pointer: &str, key: &str, value: &Value| {
        let mut file = whole.clone();
        file.pointer_mut(pointer).unwrap()[key] = value.clone();
        let text = toml::to_string(&file).unwrap();
        (
            Matrix::parse("matrix.toml", &text).is_ok(),
            validator.is_valid(&file),
        )
    };
    assert_eq!(accepted("", "run", &json!({})), (true, true));
    let mut pointers = Vec::new();
    tables(&whole, String::new(), &mut pointers);
    let values = [
        json!(true),
        json!(7),
        json!(1.5),
        json!(""),
        json!("x"),
        json!([7]),
        json!({ "x": 7 }),
    ];
    let mut keys = 0;
    for pointer in &pointers {
        assert_eq!(
            accepted(pointer, "an unknown key", &json!(true)),
            (false, false),
            "{pointer}"
        );
        let known = described(&schema, pointer)["properties"].as_object();
        for key in known.into_iter().flatten().map(|(key, _)| key) {
            let accepted: Vec<_> = values
                .iter()
                .map(|value| accepted(pointer, key, value))
                .collect();
            let at = format!("{pointer}/{key}");
            assert!(
                !accepted.contains(&(true, false)),
                "accepted by the parser, but not by the schema: {at}: {accepted:?}"
            );
            let rejected = accepted.contains(&(false, false));
            assert!(
                rejected || ANYTHING.iter().any(|start| at.starts_with(start)),
                "{at}"
            );
            keys += 1;
        }
    }
    assert!(keys > 100, "{keys} keys");
}
