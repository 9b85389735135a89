//! From the text of a matrix file to a [`Matrix`], or to all of its problems.
//!
//! In three steps: reading each table, checking the relations between tables, and expanding the file if it has no
//! problems. The first two continue after a problem.

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
use keys::{Keys, keys, table, tables};
use reader::{Entry, Located, Table};
use report::Report;
use syntax::Document;
use variants::{ValueTable, ValueTables};

use super::nearest::nearest;
use super::problem::{Problem, Problems};
use super::{
    AxisName, BodyCheck, Checks, Deploy, Existing, HostCommand, Images, Matrix, PhaseSettings,
    RunSettings,
};

impl Matrix {
    /// Parses a matrix file.
    ///
    /// `name` is the file's name for messages; `text` is its content. A matrix without cells isn't an error here.
    ///
    /// # Errors
    /// All problems of the text, with their places. In a text that isn't valid TOML, other problems are reported only
    /// before the first syntax error, because the rest may be misread.
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
    kubernetes: ValueTables,
    config: ValueTables,
    /// The tables of the values of each further axis.
    further: BTreeMap<String, ValueTables>,
    images: Images,
    deploy: Deploy,
    run: RunSettings,
    existing: Existing,
    phases: PhaseSettings,
    checks: Vec<Located<BodyCheck>>,
    commands: Vec<Located<HostCommand>>,
}

impl Draft {
    /// The tables of a file.
    fn read(keys: &mut Keys<'_>) -> Self {
        let mut draft = Self::default();
        keys! { keys;
            /// The axes, and the cells that are excluded and included.
            "matrix": table("`[matrix]`", MatrixTable::read) => draft.matrix;
            /// Settings for all cells of one version.
            "kubernetes": variants::tables("kubernetes") => draft.kubernetes;
            /// Config variants: what one value of the `config` axis changes.
            "config": variants::tables("config") => draft.config;
            /// The system under test and the mock Central API.
            "images": table("`[images]`", deploy::images) => draft.images;
            /// The manifests of the agent and of the mock.
            "deploy": table("`[deploy]`", deploy::deploy) => draft.deploy;
            /// How the cells run.
            "run": table("`[run]`", run::run) => draft.run;
            /// The cluster of the provider `existing`.
            "existing": table("`[existing]`", run::existing) => draft.existing;
            /// Timeouts and other settings of phases.
            "phases": table("`[phases]`", phases::phases) => draft.phases;
            /// Conditions on request bodies, in addition to those that every agent must meet.
            "checks": tables("checks", checks::check) => draft.checks;
            /// Programs that run on this machine after a phase.
            "commands": tables("commands", commands::command) => draft.commands;
        }
        let doc = "The tables of the values of a further axis.";
        for entry in keys.others(doc, || variants::tables("").schema) {
            draft.read_values(entry, keys);
        }
        let table = &keys.table;
        check_has_matrix(table);
        let checks = draft.checks.iter();
        let checks = checks.map(|check| (&*check.value.name, check.span));
        checks::unique(table.report, "check", checks);
        let commands = draft.commands.iter();
        let commands = commands.map(|command| (command.value.name.as_str(), command.span));
        checks::unique(table.report, "command", commands);
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
            self.further.insert(entry.key.to_owned(), values);
        }
    }

    /// The tables of the values of `axis`.
    fn tables(&self, axis: &str) -> &ValueTables {
        static NONE: ValueTables = ValueTables::none();
        match axis {
            "kubernetes" => &self.kubernetes,
            "config" => &self.config,
            axis => self.further.get(axis).unwrap_or(&NONE),
        }
    }

    /// The tables of the values of all axes.
    fn all_tables(&self) -> impl Iterator<Item = &ValueTable> {
        let named = [&self.kubernetes, &self.config].into_iter();
        named
            .chain(self.further.values())
            .flat_map(|named| &named.tables)
    }

    fn into_matrix(self) -> Matrix {
        let cells = expand::cells(&self);
        let bodies = self.checks.into_iter().map(|check| check.value);
        let commands = self.commands.into_iter().map(|command| command.value);
        Matrix {
            cells,
            images: self.images,
            deploy: self.deploy,
            run: self.run,
            existing: self.existing,
            phases: self.phases,
            checks: Checks {
                bodies: bodies.collect(),
                commands: commands.collect(),
            },
        }
    }
}

/// Reports that the file has no `[matrix]`, unless one of its keys is probably a misspelled `matrix`.
fn check_has_matrix(root: &Table<'_>) {
    const HELP: &str = "a file needs at least\n[matrix]\nkubernetes = [\"1.36\"]";
    let is_typo = |entry: Entry<'_>| nearest(entry.key, ["matrix"]).is_some();
    let problem = if root.entries().next().is_none() {
        Problem::new("the file is empty")
    } else if root.entries().any(is_typo) {
        return;
    } else {
        Problem::at(root.span, "the file has no `[matrix]`", "")
    };
    root.report.add_missing(problem.with_help(HELP));
}
