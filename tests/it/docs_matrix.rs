//! Checks the reference pages against the code: examples must be valid, and tables must match.

use e2e_matrix::matrix::{Counter, Filter, Matrix, Phase, select};

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

/// The example as a complete file: a fragment gets the matrix that the page assumes.
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
fn every_phase_is_documented_with_its_deadline() {
    for phase in Phase::ALL {
        let row = format!(
            "| `{phase}` | `\"{}s\"` |",
            phase.default_timeout().as_secs()
        );
        assert!(MATRIX.contains(&row), "no row {row}");
    }
}

#[test]
fn every_counter_is_named() {
    for counter in Counter::all() {
        assert!(MATRIX.contains(&format!("`{counter}`")), "{counter}");
    }
}
