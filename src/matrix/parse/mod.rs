//! Parses the text of a matrix file into a [`Matrix`], or reports all of its problems.
//!
//! There are three steps: reading each table, checking the relations between tables, and expanding the file if it has
//! no problems. The first two steps continue after a problem.

mod axes;
mod checks;
mod deploy;
mod document;
mod expand;
mod expect;
mod from_env;
mod keys;
mod link;
mod reader;
pub mod reference;
mod run;
mod shape;
mod to_json;
mod variants;

use std::collections::BTreeMap;

use axes::MatrixTable;
use checks::{check, command};
use document::Document;
use keys::{Table, keys, named_tables, table};
use reader::Entry;
use variants::ValueTables;

use super::axis::check_axis_name;
use super::nearest::nearest;
use super::problem::{Problem, Problems};
use super::{Images, Matrix};

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
        let draft = Table::root(&document).read(Draft::read);
        let selected = if document.is_damaged() {
            Vec::new()
        } else {
            link::selected(&draft, &document)
        };
        Problems::err_if_any(name, text, document.into_problems())?;
        let cells = expand::cells(&draft, &selected);
        Ok(Self {
            cells,
            ..draft.others
        })
    }
}

/// The content of the tables, each read separately.
#[derive(Clone, Debug, Default)]
struct Draft {
    /// The axes; `None` if the table couldn't be read.
    matrix: Option<MatrixTable>,
    /// The tables of the values of each axis.
    values: BTreeMap<String, ValueTables>,
    /// Whether the file replaces the reference mock, whose counters are known.
    has_own_mock: bool,
    /// All other tables, as a matrix without cells.
    others: Matrix,
}

impl Draft {
    /// The tables of a file.
    fn read(keys: &mut Table<'_>) -> Self {
        let mut draft = Self::default();
        let (mut kubernetes, mut config) = (ValueTables::NONE, ValueTables::NONE);
        let mut images = (Images::default(), false);
        let others = &mut draft.others;
        keys! { keys;
            /// The axes, and the cells that are excluded and included.
            "matrix": table("`[matrix]`", MatrixTable::read) => draft.matrix;
            /// Settings for all cells of one version.
            "kubernetes": variants::tables("kubernetes") => kubernetes;
            /// Config variants: what one value of the `config` axis changes.
            "config": variants::tables("config") => config;
            /// The system under test and the mock Central API.
            "images": table("`[images]`", deploy::images) => images;
            /// The manifests of the agent and of the mock.
            "deploy": table("`[deploy]`", deploy::deploy) => others.deploy;
            /// How the cells run.
            "run": table("`[run]`", run::run) => others.run;
            /// The cluster of the provider `existing`.
            "existing": table("`[existing]`", run::existing) => others.existing;
            /// Timeouts and other settings of phases.
            "phases": table("`[phases]`", run::phases) => others.phases;
            /// Conditions on request bodies, in addition to those that every agent must meet.
            "checks": named_tables("check", check, |check| &check.name) => others.checks.bodies;
            /// Programs that run on this machine after a phase.
            "commands": named_tables("command", command, |command| command.name.as_str()) => others.checks.commands;
        }
        (others.images, draft.has_own_mock) = images;
        draft.values.insert("kubernetes".to_owned(), kubernetes);
        draft.values.insert("config".to_owned(), config);
        let doc = "The tables of the values of a further axis.";
        for entry in keys.others(doc, || variants::tables("").schema) {
            draft.read_values(entry, keys);
        }
        check_has_matrix(keys);
        draft
    }

    /// Reads the tables of the values of a further axis.
    fn read_values(&mut self, entry: Entry<'_>, keys: &Table<'_>) {
        let matrix = self.matrix.iter();
        let further: Vec<&str> = matrix
            .flat_map(|matrix| &matrix.further_names)
            .map(String::as_str)
            .collect();
        if !further.contains(&entry.key) {
            let known = [keys.names(), further].concat();
            keys.report_unknown(entry, &known);
        } else if check_axis_name(entry.key).is_ok() {
            let values = variants::tables(entry.key).read(entry);
            self.values
                .extend(values.map(|values| (entry.key.to_owned(), values)));
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
    root.document.report_missing(problem);
}
