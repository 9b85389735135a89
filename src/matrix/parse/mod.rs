//! From the text of a matrix file to a [`Matrix`], or to all of its problems.
//!
//! Three steps, none of which stops at a problem: reading each table, checking the relations between tables, and
//! expanding a file without problems.

mod axes;
mod checks;
mod commands;
mod expand;
mod expect;
mod from_env;
mod images;
mod json;
mod link;
mod phases;
mod reader;
mod report;
mod retry;
mod settings;
mod syntax;
mod tags;
mod variants;

use axes::MatrixTable;
use reader::Table;
use report::Report;
use syntax::Document;
use variants::{Named, ValueTable, VersionTable};

use super::nearest::nearest;
use super::problem::{Problem, Problems};
use super::{Checks, Deploy, Existing, Images, Matrix, PhaseSettings, RunSettings};

impl Matrix {
    /// Parses a matrix file.
    ///
    /// `name` is the file's name for messages; `text` is its content. A matrix without cells isn't an error here.
    ///
    /// # Errors
    /// All problems of the text, with their places. In a text that isn't valid TOML, only problems before the first
    /// syntax error are reported, because the rest may be misread.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(text);
        let report = Report::new(text, document.is_damaged());
        let draft = Draft::read(&Table::root(&document.root, &report));
        if !document.is_damaged() {
            link::check(&draft, &report);
        }
        let mut problems = report.into_problems();
        problems.retain(|problem| problem.offset() < document.certain_until());
        problems.extend(document.problems);
        match Problems::of(name, text, problems) {
            Some(problems) => Err(problems),
            None => Ok(draft.into_matrix()),
        }
    }
}

/// The tables that any file may have.
const TABLES: [&str; 10] = [
    "matrix",
    "kubernetes",
    "config",
    "images",
    "deploy",
    "run",
    "existing",
    "phases",
    "checks",
    "commands",
];

/// The content of the tables, each read separately.
#[derive(Debug)]
struct Draft {
    matrix: MatrixTable,
    versions: Named<VersionTable>,
    /// The tables of the values of `config`, then those of each further axis.
    values: Vec<Named<ValueTable>>,
    images: Images,
    deploy: Deploy,
    run: RunSettings,
    existing: Existing,
    phases: PhaseSettings,
    checks: Checks,
}

impl Draft {
    fn read(root: &Table<'_>) -> Self {
        let matrix = matrix_table(root);
        let further = matrix.axes.keys.iter().map(String::as_str);
        root.only(&TABLES.into_iter().chain(further).collect::<Vec<_>>());
        let further = matrix.axes.further.iter();
        let axes = std::iter::once("config").chain(further.map(|axis| axis.name.as_str()));
        Self {
            versions: variants::versions(root),
            values: axes.map(|axis| variants::values(root, axis)).collect(),
            images: images::read(root),
            deploy: settings::deploy(root),
            run: settings::run(root),
            existing: settings::existing(root),
            phases: phases::read(root),
            checks: checks::read(root),
            matrix,
        }
    }

    fn into_matrix(self) -> Matrix {
        Matrix {
            cells: expand::cells(&self.matrix, &self.versions.tables, &self.values),
            images: self.images,
            deploy: self.deploy,
            run: self.run,
            existing: self.existing,
            phases: self.phases,
            checks: self.checks,
        }
    }
}

fn matrix_table(root: &Table<'_>) -> MatrixTable {
    const HELP: &str = "a file needs at least\n[matrix]\nkubernetes = [\"1.36\"]";
    if let Some(entry) = root.get("matrix") {
        let table = entry.table("`[matrix]`".to_owned());
        return table
            .as_ref()
            .map_or_else(MatrixTable::missing, |table| MatrixTable::read(table, root));
    }
    if root.entries().next().is_none() {
        let problem = Problem::new("the file is empty");
        root.report.add_missing(problem.with_help(HELP));
    } else if !root
        .entries()
        .any(|entry| nearest(entry.key, ["matrix"]).is_some())
    {
        let problem = Problem::at(root.span, "the file has no `[matrix]`", "");
        root.report.add_missing(problem.with_help(HELP));
    }
    MatrixTable::missing()
}
