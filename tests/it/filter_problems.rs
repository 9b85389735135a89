//! The errors for an invalid filter: they show what is wrong and where, and which names exist.

use e2e_matrix::matrix::{Filter, Matrix, select};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// Compares with the snapshot that has the test's name.
macro_rules! assert_shown {
    ($shown:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($shown) });
    };
}

/// The output on a terminal of 100 columns without color.
fn rendered(problem: &dyn Diagnostic) -> String {
    let mut shown = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut shown, problem)
        .expect("writing to a string does not fail");
    shown
}

#[test]
fn filters_that_do_not_parse() {
    let filters = [
        "",
        "   ",
        "fast and",
        "and fast",
        "fast n3",
        "not",
        "!= 3",
        "(fast or n3",
        "fast or n3)",
        "()",
        "fast && n3",
        "fast, n3",
        "k8s >",
        "k8s => 1.33",
        "k8s > v1.33",
        "k8s = 1.3*",
        "nodes = n3",
        "nodes = -1",
        "config > fast",
        "tag = and",
        "node > 1",
        "k8s > 1.30 > 1.20",
        "tag = 'soak",
        "tag = \"\"",
        "ünïcödé > 1",
    ];
    let shown: Vec<_> = filters
        .iter()
        .map(|filter| rendered(&Filter::parse(filter).unwrap_err()))
        .collect();
    assert_shown!(shown.join("\n"));
}

#[test]
fn filters_that_are_nested_too_deeply() {
    for filter in [
        "(".repeat(100_000),
        "!".repeat(100_000),
        "not ".repeat(100_000),
    ] {
        let problem = Filter::parse(&filter).unwrap_err();
        assert!(problem.to_string().contains("nested"), "{problem}");
    }
}

#[test]
fn parentheses_and_not_nest_64_deep_and_repeat_without_limit() {
    for (open, close) in [("(", ")"), ("!", ""), ("not ", "")] {
        let nested = |depth| format!("{}fast{}", open.repeat(depth), close.repeat(depth));
        Filter::parse(&nested(64)).unwrap();
        Filter::parse(&nested(65)).unwrap_err();
        Filter::parse(&vec![nested(1); 100].join(" or ")).unwrap();
    }
}

#[test]
fn names_that_the_matrix_does_not_have() {
    let matrix = Matrix::parse("matrix.toml", include_str!("../../matrix.toml")).unwrap();
    let filters = [
        "k8s-1.3",
        "fats or n4",
        "1.30",
        "3",
        "newest",
        "k8s-1.30-n1",
        "k8s-2.*",
        "k8s = 1.99 or nodes != 7",
        "config = fst",
        "tag = soak and k8s > 1.99",
        "k8s",
    ];
    let filters: Vec<_> = filters
        .iter()
        .map(|filter| Filter::parse(filter).unwrap())
        .collect();
    assert_shown!(rendered(&select(&matrix, &filters).unwrap_err()));
}

#[test]
fn fields_and_values_of_further_axes_that_the_matrix_does_not_have() {
    let matrix = "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.3\", \"1.4\"]\n\
                  [agent.\"1.3\"]\n[agent.\"1.4\"]\n";
    let matrix = Matrix::parse("matrix.toml", matrix).unwrap();
    let shown = [
        "color = red",
        "agnet = 1.4",
        "agent = 1.5",
        "agent-1.5",
        "1.4",
    ]
    .map(|text| {
        let filters = [Filter::parse(text).unwrap()];
        let problems = select(&matrix, &filters).unwrap_err();
        rendered(problems.iter().next().unwrap())
    });
    assert_shown!(shown.join("\n"));
}

#[test]
fn names_are_not_checked_against_a_matrix_without_cells() {
    let matrix = Matrix::parse("matrix.toml", "[matrix]\nkubernetes = []\n").unwrap();
    let filter = Filter::parse("k8s-1.30").unwrap();
    assert!(select(&matrix, &[filter]).unwrap().is_empty());
}
