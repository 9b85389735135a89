//! `list`: the selected cells, as a table or as JSON. Reads only the matrix file.

use std::collections::BTreeSet;
use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::CliError;
use super::exit::Exit;
use super::matrix_file;
use super::options::ListOptions;
use super::streams;
use crate::matrix::{Cell, Coordinate};
use crate::report::aligned;

/// A cell in the format of `--json`.
#[derive(Serialize)]
struct Row<'c> {
    id: &'c str,
    kubernetes: String,
    nodes: usize,
    config: &'c str,
    /// The values on the further axes.
    #[serde(skip_serializing_if = "Map::is_empty")]
    axes: Map<String, Value>,
    tags: &'c BTreeSet<String>,
    #[serde(rename = "allow-failure")]
    allow_failure: bool,
}

impl<'c> Row<'c> {
    fn new(cell: &'c Cell) -> Self {
        Self {
            id: cell.id.as_str(),
            kubernetes: cell.kubernetes.to_string(),
            nodes: cell.nodes.get(),
            config: cell.config.as_str(),
            axes: cell
                .axes
                .iter()
                .map(|coordinate| (coordinate.axis().to_owned(), coordinate.value().into()))
                .collect(),
            tags: &cell.tags,
            allow_failure: cell.allow_failure,
        }
    }
}

pub(super) fn run(options: &ListOptions) -> Result<Exit, CliError> {
    let selected = matrix_file::load(&options.select)?;
    let rows: Vec<Row<'_>> = selected.cells.iter().map(Row::new).collect();
    let text = if options.json {
        serde_json::to_string_pretty(&rows).map_err(io::Error::from)
    } else {
        Ok(table(&rows, &selected.matrix.cells))
    };
    streams::print("the list", text.map(|text| text + "\n"))?;
    if selected.cells.is_empty() {
        return selected.nothing_to_do(options.select.no_cells);
    }
    Ok(Exit::Passed)
}

fn table(rows: &[Row<'_>], all: &[Cell]) -> String {
    let line = |row: &Row<'_>| {
        let tags: Vec<&str> = row.tags.iter().map(String::as_str).collect();
        let may_fail = if row.allow_failure { "yes" } else { "" };
        let mut line = vec![
            row.id.to_owned(),
            row.kubernetes.clone(),
            row.nodes.to_string(),
            row.config.to_owned(),
        ];
        let axes = row.axes.values().filter_map(Value::as_str);
        line.extend(axes.map(str::to_owned));
        line.extend([tags.join(", "), may_fail.to_owned()]);
        line
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    let axes = all.first().into_iter().flat_map(|cell| &cell.axes);
    let mut header = vec!["cell", "kubernetes", "nodes", "config"];
    header.extend(axes.map(Coordinate::axis));
    header.extend(["tags", "may fail"]);
    let count = match (rows.len(), all.len()) {
        (1, 1) => "1 cell".to_owned(),
        (selected, all) if selected == all => format!("{all} cells"),
        (selected, all) => format!("{selected} of {all} cells"),
    };
    format!("{}\n\n{count}", aligned(&header, &lines))
}
