//! `list`: the selected cells, as a table or as JSON. Reads only the matrix file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::error::CliError;
use super::exit::Exit;
use super::options::ListOptions;
use super::{matrix_file, streams};
use crate::matrix::{Cell, Coordinate};
use crate::report::{aligned, counted};

/// A cell in the format of `--json`.
#[derive(Serialize)]
struct Row<'c> {
    id: &'c str,
    kubernetes: String,
    nodes: usize,
    config: &'c str,
    /// The values on the further axes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    axes: BTreeMap<&'c str, &'c str>,
    tags: &'c BTreeSet<String>,
    #[serde(rename = "allow-failure")]
    allow_failure: bool,
}

impl<'c> Row<'c> {
    fn new(cell: &'c Cell) -> Self {
        let axes = cell.axes.iter();
        Self {
            id: cell.id.as_str(),
            kubernetes: cell.kubernetes.to_string(),
            nodes: cell.nodes.get(),
            config: cell.config.as_str(),
            axes: axes.map(|place| (place.axis(), place.value())).collect(),
            tags: &cell.tags,
            allow_failure: cell.allow_failure,
        }
    }
}

pub(super) fn run(options: &ListOptions) -> Result<Exit, CliError> {
    let selected = matrix_file::load(&options.select)?;
    let text = if options.json {
        let rows: Vec<Row<'_>> = selected.cells.iter().map(Row::new).collect();
        serde_json::to_string_pretty(&rows).expect("names and numbers are JSON")
    } else {
        table(&selected.cells, &selected.matrix.cells)
    };
    streams::print("the list", &(text + "\n"))?;
    if selected.cells.is_empty() {
        return selected.nothing_to_do(options.select.no_cells);
    }
    Ok(Exit::Passed)
}

fn table(cells: &[Cell], all: &[Cell]) -> String {
    let line = |cell: &Cell| {
        let tags: Vec<&str> = cell.tags.iter().map(String::as_str).collect();
        let may_fail = if cell.allow_failure { "yes" } else { "" };
        let mut line = vec![
            cell.id.to_string(),
            cell.kubernetes.to_string(),
            cell.nodes.to_string(),
            cell.config.to_string(),
        ];
        line.extend(cell.axes.iter().map(|place| place.value().to_owned()));
        line.extend([tags.join(", "), may_fail.to_owned()]);
        line
    };
    let lines: Vec<_> = cells.iter().map(line).collect();
    let axes = all.first().into_iter().flat_map(|cell| &cell.axes);
    let mut header = vec!["cell", "kubernetes", "nodes", "config"];
    header.extend(axes.map(Coordinate::axis));
    header.extend(["tags", "may fail"]);
    let mut count = counted(all.len(), "cell");
    if cells.len() < all.len() {
        count = format!("{} of {count}", cells.len());
    }
    format!("{}\n\n{count}", aligned(&header, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    fn cells() -> Vec<Cell> {
        let text = r#"
            [matrix]
            kubernetes = ["1.36"]
            zone = ["west"]
            arch = ["arm"]
            [zone.west]
            [arch.arm]
        "#;
        Matrix::parse("matrix.toml", text).unwrap().cells
    }

    #[test]
    fn each_value_is_below_the_name_of_its_axis_in_the_order_of_the_file() {
        let table = table(&cells(), &cells());
        let mut lines = table.lines().map(|line| line.split_whitespace());
        let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
        let pairs: Vec<_> = header.zip(row).skip(4).take(2).collect();
        assert_eq!(pairs, [("zone", "west"), ("arch", "arm")], "{table}");
    }

    #[test]
    fn the_number_of_cells_is_singular_if_the_matrix_has_one() {
        assert!(table(&cells(), &cells()).ends_with("\n\n1 cell"));
        assert!(table(&[], &cells()).ends_with("\n\n0 of 1 cell"));
    }
}
