//! Properties that every matrix and every filter must have, checked with generated matrices and filters.

use std::collections::BTreeSet;

use e2e_matrix::matrix::{Cell, Filter, Matrix, select};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select as one_of, subsequence};

/// The axes of a generated matrix, without duplicates.
#[derive(Clone, Debug)]
struct Axes {
    kubernetes: Vec<u16>,
    nodes: Vec<u16>,
    config: Vec<String>,
}

/// An exclude; `None` for a key that is left out.
type Exclude = (Option<u16>, Option<u16>, Option<String>);

impl Axes {
    /// The matrix file with these axes, these excludes, and a table for each config.
    fn file(&self, excludes: &[Exclude]) -> String {
        use std::fmt::Write;
        let versions: Vec<_> = self
            .kubernetes
            .iter()
            .map(|minor| format!("1.{minor}"))
            .collect();
        let (nodes, config) = (&self.nodes, &self.config);
        let mut text = format!(
            "[matrix]\nkubernetes = {versions:?}\nnodes = {nodes:?}\nconfig = {config:?}\n"
        );
        for (kubernetes, nodes, config) in excludes {
            text.push_str("[[matrix.exclude]]\n");
            if let Some(minor) = kubernetes {
                writeln!(text, "kubernetes = \"1.{minor}\"")
                    .expect("writing to a string does not fail");
            }
            if let Some(nodes) = nodes {
                writeln!(text, "nodes = {nodes}").expect("writing to a string does not fail");
            }
            if let Some(config) = config {
                writeln!(text, "config = \"{config}\"").expect("writing to a string does not fail");
            }
        }
        for config in &self.config {
            writeln!(text, "[config.{config}]").expect("writing to a string does not fail");
        }
        text
    }
}

fn axes() -> impl Strategy<Value = Axes> {
    let config = "[b-e][a-z0-9-]{0,4}";
    (vec(1_u16..60, 1..6), vec(1_u16..9, 1..4), vec(config, 1..5)).prop_map(
        |(kubernetes, nodes, config)| Axes {
            kubernetes: once_each(kubernetes),
            nodes: once_each(nodes),
            config: once_each(config),
        },
    )
}

/// The values in order, without duplicates.
fn once_each<T: Ord + Clone>(values: Vec<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    values
        .into_iter()
        .filter(|value| seen.insert(value.clone()))
        .collect()
}

fn ids(matrix: &Matrix) -> Vec<String> {
    matrix
        .cells
        .iter()
        .map(|cell| cell.id.to_string())
        .collect()
}

fn parsed(text: &str) -> Result<Matrix, TestCaseError> {
    Matrix::parse("matrix.toml", text).map_err(|problems| {
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        TestCaseError::fail(format!("{messages:?} in\n{text}"))
    })
}

/// Texts that look like filters, so that the parser gets far into most of them.
fn filter_text() -> impl Strategy<Value = String> {
    let words = vec![
        "k8s-1.30", "n1", "n3", "fast", "f*", "?3", "not", "and", "or", "&", "|", "!", "(", ")",
        "k8s", "nodes", "config", "tag", "=", "!=", ">=", "<", "1.30", "1", "soak", "'", "\"", ",",
        "é",
    ];
    vec(one_of(words), 0..12).prop_map(|words| words.join(" "))
}

/// Texts made of parts of matrix files, so that many of them are valid TOML.
fn file_text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "[matrix]",
        "[[matrix.exclude]]",
        "[[matrix.include]]",
        "[run]",
        "[config.fast]",
        "[kubernetes.\"1.30\"]",
        "[images.agent]",
        "[phases.restart]",
        "[deploy]",
        "kubernetes = [\"1.30\", 1.31]",
        "kubernetes = \"1.30\"",
        "nodes = [1, 0, 3]",
        "nodes = 3",
        "config = [\"fast\", \"n1\"]",
        "config = \"fast\"",
        "tags = [\"a\", \"\"]",
        "allow-failure = true",
        "jobs = 0",
        "ports = \"9-1\"",
        "expect = { heartbeat_count = { exactly = -1 } }",
        "agent = { a.b.c = nan }",
        "kind = { nodes = [] }",
        "env = { \"\" = \"\" }",
        "tag = \"x\"",
        "build = { args = 3 }",
        "timeout = \"999999999999y\"",
        "retries = 1",
        "retry-on = [\"product\", 1]",
        "retry-backoff = \"2s\"",
        "a.b.c = [[",
        "= ",
        "\"\"\"",
        "é",
    ];
    vec(one_of(pieces), 0..12).prop_map(|pieces| pieces.join("\n"))
}

/// A filter expression that parses.
fn valid_filter() -> impl Strategy<Value = String> {
    let leaf = one_of(
        &[
            "k8s-1.30",
            "n1",
            "fast",
            "f*",
            "k8s-1.3?-*",
            "k8s >= 1.33",
            "kubernetes = \"1.30\"",
            "nodes > 1",
            "nodes != 3",
            "config = fast",
            "tag = newest",
            "tag != new*",
        ][..],
    )
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(") and ("))),
            vec(inner, 2..4).prop_map(|parts| format!("({})", parts.join(") or ("))),
        ]
    })
}

fn shipped() -> Matrix {
    Matrix::parse("matrix.toml", include_str!("../../matrix.toml"))
        .expect("the shipped file has no problems")
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("the filter is valid")
}

/// The ids of the cells that a filter matches, without a check for unknown names.
fn matching(filter: &Filter, cells: &[Cell]) -> Vec<String> {
    let matching = cells.iter().filter(|cell| filter.matches(cell));
    matching.map(|cell| cell.id.to_string()).collect()
}

proptest! {
    #[test]
    fn no_text_makes_the_file_parser_panic(text in prop_oneof![any::<String>(), file_text()]) {
        let _verdict = Matrix::parse("matrix.toml", &text);
    }

    #[test]
    fn every_problem_can_be_shown(text in file_text()) {
        if let Err(problems) = Matrix::parse("matrix.toml", &text) {
            let mut shown = String::new();
            let rendered = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::ascii())
                .render_report(&mut shown, &problems);
            prop_assert!(rendered.is_ok());
            prop_assert!(!shown.contains("Failed to read contents"), "{shown}");
        }
    }

    #[test]
    fn no_text_makes_the_filter_parser_panic(text in prop_oneof![any::<String>(), filter_text()]) {
        if let Ok(filter) = Filter::parse(&text) {
            let _verdict = select(&shipped(), &[filter]);
        }
    }

    #[test]
    fn the_product_has_each_cell_exactly_once(axes in axes()) {
        let matrix = parsed(&axes.file(&[]))?;
        let ids: BTreeSet<_> = ids(&matrix).into_iter().collect();
        let size = axes.kubernetes.len() * axes.nodes.len() * axes.config.len();
        prop_assert_eq!(ids.len(), size);
        prop_assert_eq!(matrix.cells.len(), size);
    }

    #[test]
    fn a_new_value_does_not_rename_cells(axes in axes(), at in any::<Index>()) {
        let before = parsed(&axes.file(&[]))?;
        let mut larger = axes.clone();
        larger.kubernetes.insert(at.index(axes.kubernetes.len() + 1), 99);
        larger.nodes.insert(at.index(axes.nodes.len() + 1), 99);
        larger.config.insert(at.index(axes.config.len() + 1), "z-new".to_owned());
        let after: BTreeSet<_> = ids(&parsed(&larger.file(&[]))?).into_iter().collect();
        prop_assert!(ids(&before).iter().all(|id| after.contains(id)));
    }

    #[test]
    fn excludes_remove_exactly_the_cells_that_they_match(
        (axes, kubernetes, nodes, config) in axes().prop_flat_map(|axes| {
            let config = one_of(axes.config.clone());
            let kubernetes = one_of(axes.kubernetes.clone());
            let nodes = one_of(axes.nodes.clone());
            (Just(axes), kubernetes, nodes, config)
        }),
        given in subsequence(vec![0, 1, 2], 1..=3),
    ) {
        let exclude: Exclude = (
            given.contains(&0).then_some(kubernetes),
            given.contains(&1).then_some(nodes),
            given.contains(&2).then(|| config.clone()),
        );
        let matches = |cell: &Cell| {
            exclude.0.is_none_or(|minor| cell.kubernetes.minor == minor)
                && exclude.1.is_none_or(|nodes| cell.nodes.get() == usize::from(nodes))
                && exclude.2.as_ref().is_none_or(|config| cell.config.as_str() == config)
        };
        let mut expected = parsed(&axes.file(&[]))?.cells;
        expected.retain(|cell| !matches(cell));
        let remaining = parsed(&axes.file(std::slice::from_ref(&exclude)))?.cells;
        prop_assert_eq!(remaining, expected);
    }

    #[test]
    fn the_same_text_gives_the_same_cells(axes in axes()) {
        let text = axes.file(&[]);
        prop_assert_eq!(parsed(&text)?, parsed(&text)?);
    }

    #[test]
    fn a_double_negation_changes_nothing(text in valid_filter()) {
        let cells = shipped().cells;
        let twice = filter(&format!("not not ({text})"));
        prop_assert_eq!(matching(&twice, &cells), matching(&filter(&text), &cells));
    }

    #[test]
    fn de_morgans_law_holds(left in valid_filter(), right in valid_filter()) {
        let cells = shipped().cells;
        let outside = filter(&format!("!(({left}) & ({right}))"));
        let inside = filter(&format!("not ({left}) or not ({right})"));
        prop_assert_eq!(matching(&outside, &cells), matching(&inside, &cells));
    }

    #[test]
    fn several_filters_are_alternatives(texts in btree_set(valid_filter(), 1..4)) {
        let matrix = shipped();
        let filters: Vec<_> = texts.iter().map(|text| filter(text)).collect();
        let joined: Vec<_> = texts.iter().map(|text| format!("({text})")).collect();
        let joined = [filter(&joined.join(" or "))];
        let ids = |filters: &[Filter]| -> Result<Vec<String>, TestCaseError> {
            let cells = select(&matrix, filters).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
            Ok(cells.iter().map(|cell| cell.id.to_string()).collect())
        };
        prop_assert_eq!(ids(&filters)?, ids(&joined)?);
    }
}
