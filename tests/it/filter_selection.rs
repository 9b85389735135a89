//! Which cells of the shipped matrix a filter selects.

use e2e_matrix::matrix::{Filter, Matrix, select};

fn shipped() -> Matrix {
    Matrix::parse("matrix.toml", include_str!("../../matrix.toml"))
        .expect("the shipped file has no problems")
}

/// The ids of the selected cells.
fn selected(filters: &[&str]) -> Vec<String> {
    let matrix = shipped();
    let filters: Vec<_> = filters
        .iter()
        .map(|text| Filter::parse(text).expect("the filter is valid"))
        .collect();
    let cells = select(&matrix, &filters).expect("every name is known");
    cells.iter().map(|cell| cell.id.to_string()).collect()
}

#[test]
fn without_a_filter_every_cell_runs_in_the_order_of_the_axes() {
    let expected = [
        "k8s-1.30-n1-default",
        "k8s-1.30-n1-fast",
        "k8s-1.33-n1-default",
        "k8s-1.33-n1-fast",
        "k8s-1.33-n3-default",
        "k8s-1.33-n3-fast",
        "k8s-1.34-n1-default",
        "k8s-1.34-n1-fast",
        "k8s-1.34-n3-default",
        "k8s-1.34-n3-fast",
        "k8s-1.36-n1-default",
        "k8s-1.36-n1-fast",
        "k8s-1.36-n3-default",
        "k8s-1.36-n3-fast",
        "k8s-1.37-n1-default",
        "k8s-1.37-n1-fast",
        "k8s-1.37-n3-default",
        "k8s-1.37-n3-fast",
    ];
    assert_eq!(selected(&[]), expected);
}

#[test]
fn a_term_matches_a_part_or_a_whole_id() {
    assert_eq!(
        selected(&["k8s-1.30"]),
        ["k8s-1.30-n1-default", "k8s-1.30-n1-fast"]
    );
    assert_eq!(selected(&["k8s-1.36-n3-fast"]), ["k8s-1.36-n3-fast"]);
    assert_eq!(selected(&["k8s-1.3?-n3-*"]), selected(&["n3"]));
    assert_eq!(selected(&["f*"]), selected(&["config = fast"]));
    assert_eq!(selected(&["'n3'"]), selected(&["n3"]));
}

#[test]
fn operator_precedence_is_not_then_and_then_or() {
    assert_eq!(
        selected(&["k8s >= 1.33 and nodes > 1 and not fast"]),
        [
            "k8s-1.33-n3-default",
            "k8s-1.34-n3-default",
            "k8s-1.36-n3-default",
            "k8s-1.37-n3-default"
        ]
    );
    assert_eq!(
        selected(&["k8s-1.30 or n3 and not fast"]),
        selected(&["k8s-1.30 | (n3 & (!fast))"])
    );
    assert_eq!(
        selected(&["k8s-1.30 or n3 and not fast"]),
        selected(&["k8s-1.30", "n3 and default"])
    );
}

#[test]
fn versions_and_node_counts_compare_by_number() {
    assert_eq!(selected(&["k8s > 1.9"]), selected(&[]));
    assert_eq!(selected(&["kubernetes<=1.30"]), selected(&["k8s-1.30"]));
    assert_eq!(selected(&["k8s == \"1.30\""]), selected(&["k8s-1.30"]));
    assert_eq!(selected(&["k8s != 1.30"]), selected(&["k8s >= 1.31"]));
    assert_eq!(selected(&["nodes < 3"]), selected(&["n1"]));
    assert!(selected(&["nodes > 3"]).is_empty());
}

#[test]
fn tags_and_configs_compare_by_equality() {
    assert_eq!(selected(&["tag = newest"]), selected(&["k8s-1.37"]));
    assert_eq!(selected(&["tag != new*"]), selected(&["not k8s-1.37"]));
    assert_eq!(selected(&["config != fast"]), selected(&["default"]));
}

#[test]
fn a_further_axis_matches_by_comparison_or_by_its_id_part() {
    let matrix = Matrix::parse(
        "matrix.toml",
        "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.3\", \"1.4\"]\nnode = [\"1.4\", \"off\"]\n\
         [agent.\"1.3\"]\n[agent.\"1.4\"]\n[node.\"1.4\"]\n[node.off]\n",
    )
    .expect("the file is valid");
    let taken = |text: &str| -> Vec<&str> {
        let filters = [Filter::parse(text).expect("the filter is valid")];
        let cells = select(&matrix, &filters).expect("every name is known");
        cells.iter().map(|cell| cell.id.as_str()).collect()
    };
    let older = [
        "k8s-1.36-n1-default-agent-1.3-node-1.4",
        "k8s-1.36-n1-default-agent-1.3-node-off",
    ];
    for text in ["agent = 1.3", "agent != 1.4", "agent-1.3", "agent = '?.3'"] {
        assert_eq!(taken(text), older, "{text}");
    }
    for text in ["node-off and agent-1.4", "node = off and agent != 1.3"] {
        assert_eq!(taken(text), ["k8s-1.36-n1-default-agent-1.4-node-off"]);
    }
}
