//! Manifests with arbitrary damage: each of them results in problems or in a deployment, but never in a panic or a
//! hang.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Case, DAEMON_SET, MOCK, RBAC, with_files, with_mock};
use crate::manifest::Sources;

const SHIPPED: [(&str, &str); 4] = [
    ("daemonset.yaml", DAEMON_SET),
    ("rbac.yaml", RBAC),
    (
        "serviceaccount.yaml",
        include_str!("../../../deploy/kubernetes/serviceaccount.yaml"),
    ),
    ("mock.yaml", MOCK),
];

/// A modification of a node in a tree.
#[derive(Clone, Debug)]
enum Damage {
    Delete,
    Duplicate,
    Replace(Value),
    Rename(String),
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "plexd",
            "mock-api",
            "default",
            "apps/v1",
            "List",
            "DaemonSet",
            "1e999999999999",
            "9223372036854775808Ei",
            "-0",
            "\u{feff}",
        ])
        .prop_map(Value::from),
    ]
}

pub(super) fn tree() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|table| Value::from(serde_json::Map::from_iter(table))),
        ]
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Delete),
        Just(Damage::Duplicate),
        tree().prop_map(Damage::Replace),
        "[a-zA-Z]{0,12}".prop_map(Damage::Rename),
    ]
}

/// The paths of all nodes as JSON pointers.
fn nodes(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = key.replace('~', "~0").replace('/', "~1");
                nodes(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                nodes(value, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn apply(document: &mut Value, at: prop::sample::Index, damage: Damage) {
    let mut paths = Vec::new();
    nodes(document, "", &mut paths);
    let path = &paths[at.index(paths.len())];
    if let Damage::Replace(value) = damage {
        if let Some(node) = document.pointer_mut(path) {
            *node = value;
        }
        return;
    }
    let Some((parent, key)) = path.rsplit_once('/') else {
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match (document.pointer_mut(parent), damage) {
        (Some(Value::Object(table)), Damage::Delete) => {
            table.remove(&key);
        }
        (Some(Value::Object(table)), Damage::Rename(name)) => {
            let value = table.remove(&key).unwrap_or_default();
            table.insert(name, value);
        }
        (Some(Value::Array(list)), Damage::Delete) => {
            list.remove(key.parse().unwrap());
        }
        (Some(Value::Array(list)), Damage::Duplicate) => {
            let index: usize = key.parse().unwrap();
            list.push(list[index].clone());
        }
        _ => {}
    }
}

/// Renders the shipped deployment with other files, in its own cluster and in a shared one, and uses each result.
fn render_any(texts: BTreeMap<&str, String>) {
    let mut case = Case::new(sources(texts));
    for shared in [None, Some(super::shared::tenancy())] {
        case.shared = shared;
        match case.render() {
            Ok(rendered) => drop((super::files(&rendered), rendered.notices().len())),
            Err(problems) => {
                assert!(!problems.is_empty());
                let messages = super::messages(&problems);
                assert!(messages.iter().all(|problem| problem.len() < 1 << 20));
            }
        }
    }
}

fn sources(mut texts: BTreeMap<&str, String>) -> Sources {
    let mock = texts.remove("mock.yaml");
    let mut sources = with_files(texts);
    if let Some(mock) = mock {
        sources.mock = with_mock(mock).mock;
    }
    sources
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn to_yaml(documents: &[Value]) -> String {
    let texts = documents
        .iter()
        .map(|value| serde_saphyr::to_string(value).unwrap());
    texts.collect::<Vec<_>>().join("\n---\n")
}

/// An eighth of the usual number of cases, because each case reads and checks a whole deployment.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.div_ceil(8),
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_trees_never_panic(
        damages in prop::collection::vec((0..SHIPPED.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut trees = SHIPPED.map(|(name, text)| (name, documents(text)));
        for (file, document, at, damage) in damages {
            let documents = &mut trees[file].1;
            let document = document.index(documents.len());
            apply(&mut documents[document], at, damage);
        }
        render_any(trees.map(|(name, documents)| (name, to_yaml(&documents))).into());
    }

    #[test]
    fn damaged_texts_never_panic(
        file in 0..SHIPPED.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, text()), 1..4),
    ) {
        let (name, shipped) = SHIPPED[file];
        let mut characters: Vec<char> = shipped.chars().collect();
        for (at, length, text) in edits {
            let start = at.index(characters.len() + 1);
            let end = (start + length).min(characters.len());
            characters.splice(start..end, text.chars());
        }
        render_any([(name, characters.into_iter().collect())].into());
    }

    #[test]
    fn arbitrary_texts_never_panic(file in 0..SHIPPED.len(), text in any::<String>()) {
        render_any([(SHIPPED[file].0, text)].into());
    }
}

/// Meaningful and arbitrary pieces of YAML.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,20}",
        prop::sample::select(vec![
            "\t",
            "\r\n",
            "\u{feff}",
            "---\n",
            "...\n",
            "&a ",
            "*a",
            "<<: *a\n",
            "!!binary ",
            "!x ",
            "? ",
            "|2-\n",
            ">\n",
            "{",
            "[",
            "}",
            "]",
            "'",
            "\"",
            "# ",
            "%YAML 1.2\n",
            "- - - - ",
            ": ",
            "\0",
            "0x",
            "1e400",
            ".nan",
            ".inf",
            "~",
        ])
        .prop_map(str::to_owned),
    ]
}

fn only(text: String) {
    render_any([("daemonset.yaml", text)].into());
}

#[test]
fn exponential_aliases_never_panic() {
    let mut lines = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned()];
    for level in 1..30 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        lines.push(format!("a{level}: &a{level} [{below}]\n"));
    }
    only(lines.concat());
}

#[test]
fn deep_texts_never_panic() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        only(format!(
            "a:\n {}{}",
            open.repeat(100_000),
            close.repeat(100_000)
        ));
    }
    let items = json!({"kind": "List", "items": []}).to_string();
    let lists = (0..5_000).fold(items, |inner, _| {
        format!("{{\"kind\": \"List\", \"items\": [{inner}]}}")
    });
    only(lists);
}

#[test]
fn large_texts_never_panic() {
    only(
        format!("{}\n", SHIPPED[0].1)
            .repeat(2)
            .replace("apiVersion", "---\napiVersion")
            .repeat(50),
    );
    only(format!("a: \"{}\"\n", "x".repeat(20_000_000)));
    only("---\na: 1\n".repeat(100_000));
}

#[test]
fn line_endings_and_a_byte_order_mark_change_nothing() {
    for text in [
        SHIPPED[0].1.replace('\n', "\r\n"),
        format!("\u{feff}{}", SHIPPED[0].1),
    ] {
        Case::new(sources([("daemonset.yaml", text)].into())).rendered();
    }
}

#[test]
fn too_many_objects_are_one_problem() {
    let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n";
    let crowd = sources([("serviceaccount.yaml", account.repeat(500))].into());
    let problems = Case::new(crowd).render().err().unwrap();
    let messages = super::messages(&problems);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].ends_with("a deployment may have at most 500"),
        "{messages:?}"
    );
}
