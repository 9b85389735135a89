//! Cells as tests: the whole `main` of a test binary, for `cargo nextest run` and `cargo test`. Listing the tests reads
//! only the matrix file.

use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use jiff::Timestamp;
use libtest_mimic::{Arguments, Failed, Trial};

use super::error::{self, CliError};
use super::matrix_file::Selected;
use super::options::{RerunOptions, RunOptions};
use super::{Cli, arguments, gc, log, merge, recorded, run};
use crate::event::{CellVerdict, FailureClass, RunVerdict};
use crate::matrix::Cell;
use crate::report::Copies;
use crate::runner::{PARTS, PartId, RunOutcome};

/// Runs a test binary for the matrix file in `folder`, with one test per cell, named by the cell's id. The environment
/// variables of `e2e-matrix run` apply here, too. If they set a filter, only the selected cells are tests.
///
/// `runner` is the path of the `e2e-matrix` binary.
pub fn harness(folder: &Path, runner: &Path) -> ExitCode {
    super::install_tls();
    log::install_panics();
    let arguments = Arguments::from_args();
    // The arguments of this process are for the test runner, so only the environment sets options.
    let parsed = Cli::parse_from(["e2e-matrix"]);
    log::install(parsed.log.as_deref(), true);
    let mut options = parsed.run;
    let matrix = &mut options.select.matrix;
    matrix.get_or_insert_with(|| folder.join("matrix.toml"));
    // Each cell is exactly one test. The test runner itself reruns and repeats tests.
    options.rerun = RerunOptions::default();
    options.execution.repeat = None;
    options.execution.until_failure = false;
    let shared = Arc::new(Harness {
        run: run_id(),
        runner: runner.to_owned(),
        copies: Copies::from(&mem::take(&mut options.copies)),
        options,
    });
    let selected = arguments::check_environment().and_then(|()| run::prepare(&shared.options));
    match selected {
        Ok(selected) => libtest_mimic::run(&arguments, trials(&shared, &selected)).exit_code(),
        Err(error) => error::print(&error, shared.options.output.color).into(),
    }
}

/// The state that the tests of one process share.
struct Harness {
    run: String,
    runner: PathBuf,
    /// Without the copies of reports, which belong to the whole run and are in `copies`.
    options: RunOptions,
    copies: Copies,
}

fn trials(shared: &Arc<Harness>, selected: &Selected) -> Vec<Trial> {
    let cells = selected.cells.clone();
    let trial = |cell: Cell| {
        let (shared, selected) = (Arc::clone(shared), selected.clone());
        Trial::test(cell.id.to_string(), move || shared.test(&cell, selected))
    };
    cells.into_iter().map(trial).collect()
}

impl Harness {
    /// Runs one cell in the same way as the `e2e-matrix` binary.
    fn test(&self, cell: &Cell, selected: Selected) -> Result<(), Failed> {
        let out = self.options.output_dir.of(&selected.path);
        let cell = next_repetition(cell, &out.join(&self.run).join(PARTS));
        let part = PartId {
            run: self.run.clone(),
            part: cell.id.to_string(),
        };
        let selected = Selected {
            cells: vec![cell.clone()],
            ..selected
        };
        let gc = gc::command(self.runner.as_os_str());
        let outcome = run::session(&self.options, selected, self.runner.clone(), gc, Some(part))
            .and_then(run::execute)
            .map_err(|error| Failed::from(before_the_run(&error)))?;
        self.combine(&out);
        result(&cell, outcome)
    }

    /// Combines all cells that have run so far into one run. An error here doesn't change this cell's verdict.
    fn combine(&self, out: &Path) {
        if let Err(error) = merge::combine(out, &self.run, &self.copies) {
            let text = error::text(&error, false);
            drop(io::stdout().lock().write_all(text.as_bytes()));
        }
    }
}

/// The result of the test for `cell`, which was the only cell of a run with this outcome.
fn result(cell: &Cell, outcome: RunOutcome) -> Result<(), Failed> {
    let Some((_, verdict, reason)) = outcome.cells.into_iter().next() else {
        return Err("error: the run has no cells".into());
    };
    let reason = reason.unwrap_or_default();
    // A bug in the runner and an interruption count even if the cell is allowed to fail.
    let may_fail = cell.allow_failure
        && matches!(
            outcome.verdict,
            RunVerdict::Passed | RunVerdict::NothingToDo
        );
    let line = match verdict {
        CellVerdict::Passed => return Ok(()),
        CellVerdict::Flaky if outcome.verdict == RunVerdict::Passed => format!("flaky: {reason}"),
        verdict if may_fail => format!("allowed to fail: {verdict}: {reason}"),
        verdict => {
            let class = outcome.class.map(FailureClass::name);
            let class = class.map(|class| format!(" ({class})")).unwrap_or_default();
            return Err(format!("{verdict}{class}: {reason}").into());
        }
    };
    // A closed stdout must not fail the cell.
    drop(writeln!(io::stdout().lock(), "{line}"));
    Ok(())
}

/// The first repetition of `cell` without a record in `parts`. If nextest retries or stress-tests a cell, each execution
/// needs its own record and folder.
fn next_repetition(cell: &Cell, parts: &Path) -> Cell {
    let mut number = 1;
    while recorded::is_run(&parts.join(cell.id.repetition(number).as_str())) {
        number += 1;
    }
    Cell {
        id: cell.id.repetition(number),
        ..cell.clone()
    }
}

/// The message for an error that occurred before the run started. It begins with the failure's class.
fn before_the_run(error: &CliError) -> String {
    format!("error ({}): {}", error.class(), error::text(error, false))
}

/// The run id for all tests: nextest's run id, or otherwise a new id for this process.
fn run_id() -> String {
    if let Some(id) = std::env::var_os("NEXTEST_RUN_ID") {
        return format!("nextest-{}", id.to_string_lossy());
    }
    let seconds = Timestamp::now().as_second();
    format!("cargo-test-{seconds}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::matrix::Matrix;
    use crate::record::RecordWriter;

    fn cell() -> Cell {
        let text = "[matrix]\nkubernetes = [\"1.36\"]";
        Matrix::parse("matrix.toml", text).unwrap().cells.remove(0)
    }

    #[test]
    fn a_cell_that_may_fail_still_fails_its_test_if_the_runner_has_a_bug() {
        let mut cell = cell();
        cell.allow_failure = true;
        let passes = |verdict| {
            let outcome = RunOutcome {
                verdict,
                class: Some(FailureClass::Infrastructure),
                cells: vec![(cell.id.clone(), CellVerdict::Error, None)],
                left: Vec::new(),
            };
            result(&cell, outcome).is_ok()
        };
        assert!(passes(RunVerdict::Passed));
        assert!(!passes(RunVerdict::RunnerBug));
    }

    #[test]
    fn a_cell_that_runs_again_gets_its_own_record() {
        let parts = tempfile::tempdir().unwrap();
        for id in [
            "k8s-1.36-n1-default",
            "k8s-1.36-n1-default#2",
            "k8s-1.36-n1-default#3",
        ] {
            let next = next_repetition(&cell(), parts.path());
            assert_eq!(next.id.as_str(), id);
            let folder = parts.path().join(id);
            fs::create_dir(&folder).unwrap();
            drop(RecordWriter::create(&folder).unwrap());
        }
    }
}
