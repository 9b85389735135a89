//! `list`: the selected cells, as a table or as JSON. Touches nothing but the matrix file.

use std::collections::BTreeSet;
use std::io;

use serde::Serialize;

use super::error::CliError;
use super::exit::Exit;
use super::matrix_file;
use super::options::ListOptions;
use super::stdout;
use crate::matrix::Cell;
use crate::report::aligned;

/// A cell, as `--json` shows it.
#[derive(Serialize)]
struct Row<'c> {
    id: &'c str,
    kubernetes: String,
    nodes: usize,
    config: &'c str,
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
            config: cell.variant.name.as_str(),
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
        Ok(table(&rows, selected.matrix.cells.len()))
    };
    stdout::print("the list", text.map(|text| text + "\n"))?;
    Ok(Exit::Passed)
}

fn table(rows: &[Row<'_>], all: usize) -> String {
    let line = |row: &Row<'_>| {
        let tags: Vec<&str> = row.tags.iter().map(String::as_str).collect();
        let may_fail = if row.allow_failure { "yes" } else { "" };
        [
            row.id.to_owned(),
            row.kubernetes.clone(),
            row.nodes.to_string(),
            row.config.to_owned(),
            tags.join(", "),
            may_fail.to_owned(),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    let header = ["cell", "kubernetes", "nodes", "config", "tags", "may fail"];
    let count = match (rows.len(), all) {
        (1, 1) => "1 cell".to_owned(),
        (selected, all) if selected == all => format!("{all} cells"),
        (selected, all) => format!("{selected} of {all} cells"),
    };
    format!("{}\n\n{count}", aligned(header, &lines))
}
