//! Parses the text of a matrix file into a [`Matrix`], or reports all of its problems.
//!
//! There are three steps: reading each table, checking the relations between tables, and expanding the file if it has
//! no problems. The first two steps continue after a problem.

mod axes;
mod checks;
mod commands;
mod deploy;
mod expand;
mod expect;
mod from_env;
mod keys;
mod link;
mod phases;
mod reader;
pub mod reference;
mod report;
mod run;
mod shape;
mod syntax;
mod to_json;
mod variants;

use std::collections::BTreeMap;

use axes::MatrixTable;
use checks::check;
use commands::command;
use keys::{Keys, keys, named_tables, table};
use reader::{Entry, Table};
use report::Report;
use syntax::Document;
use variants::ValueTables;

use super::nearest::nearest;
use super::problem::{Problem, Problems};
use super::{AxisName, Matrix};

impl Matrix {
    /// Parses a matrix file.
    ///
    /// `name` is the file's name for messages; `text` is its content. A matrix without cells isn't an error here.
    ///
    /// # Errors
    /// Returns all problems in the text, with their places. If the text isn't valid TOML, problems after the first
    /// syntax error aren't reported, because the rest of the text may have been misread.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(text);
        let report = Report::new(text, &document);
        let draft = Keys::read(Table::root(&document.root, &report), Draft::read);
        if !document.is_damaged() {
            link::check(&draft, &report);
        }
        let mut problems = report.into_problems();
        problems.retain(|problem| problem.offset() < document.certain_until());
        problems.extend(document.problems);
        Problems::err_if_any(name, text, problems)?;
        Ok(draft.into_matrix())
    }
}

/// The content of the tables, each read separately.
#[derive(Clone, Debug, Default)]
struct Draft {
    matrix: MatrixTable,
    /// The tables of the values of each axis.
    values: BTreeMap<String, ValueTables>,
    /// All other tables, as a matrix without cells.
    others: Matrix,
}

impl Draft {
    /// The tables of a file.
    fn read(keys: &mut Keys<'_>) -> Self {
        let mut draft = Self::default();
        let (mut kubernetes, mut config) = (ValueTables::default(), ValueTables::default());
        let others = &mut draft.others;
        keys! { keys;
            /// The axes, and the cells that are excluded and included.
            "matrix": table("`[matrix]`", MatrixTable::read) => draft.matrix;
            /// Settings for all cells of one version.
            "kubernetes": variants::tables("kubernetes") => kubernetes;
            /// Config variants: what one value of the `config` axis changes.
            "config": variants::tables("config") => config;
            /// The system under test and the mock Central API.
            "images": table("`[images]`", deploy::images) => others.images;
            /// The manifests of the agent and of the mock.
            "deploy": table("`[deploy]`", deploy::deploy) => others.deploy;
            /// How the cells run.
            "run": table("`[run]`", run::run) => others.run;
            /// The cluster of the provider `existing`.
            "existing": table("`[existing]`", run::existing) => others.existing;
            /// Timeouts and other settings of phases.
            "phases": table("`[phases]`", phases::phases) => others.phases;
            /// Conditions on request bodies, in addition to those that every agent must meet.
            "checks": named_tables("checks", check, |check| &check.name) => others.checks.bodies;
            /// Programs that run on this machine after a phase.
            "commands": named_tables("commands", command, |command| command.name.as_str()) => others.checks.commands;
        }
        draft.values.insert("kubernetes".to_owned(), kubernetes);
        draft.values.insert("config".to_owned(), config);
        let doc = "The tables of the values of a further axis.";
        for entry in keys.others(doc, || variants::tables("").schema) {
            draft.read_values(entry, keys);
        }
        check_has_matrix(&keys.table);
        draft
    }

    /// Reads the tables of the values of a further axis.
    fn read_values(&mut self, entry: Entry<'_>, keys: &Keys<'_>) {
        let further = &self.matrix.further_names;
        if !further.iter().any(|axis| axis == entry.key) {
            let further = further.iter().map(String::as_str);
            let known: Vec<&str> = keys.names().into_iter().chain(further).collect();
            keys.table.report_unknown(entry, &known);
        } else if AxisName::parse(entry.key).is_ok() {
            let values = variants::tables(entry.key).read(entry).unwrap_or_default();
            self.values.insert(entry.key.to_owned(), values);
        }
    }

    fn into_matrix(self) -> Matrix {
        Matrix {
            cells: expand::cells(&self),
            ..self.others
        }
    }
}

/// Reports that the file has no `[matrix]`, unless one of its keys is probably a misspelled `matrix`.
fn check_has_matrix(root: &Table<'_>) {
    const HELP: &str = "a file needs at least\n[matrix]\nkubernetes = [\"1.36\"]";
    let is_typo = |entry: Entry<'_>| nearest(entry.key, ["matrix"]).is_some();
    let problem = if root.entries().next().is_none() {
        Problem::new("the file is empty", HELP)
    } else if root.entries().any(is_typo) {
        return;
    } else {
        Problem::at(root.span, "the file has no `[matrix]`", HELP)
    };
    root.report.add_missing(problem);
}
