//! `run`: runs the selected cells and shows the results.

use std::io::{self, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::matrix_file::{self, Selected};
use super::options::{ColorChoice, NoCells, RunOptions};
use super::rerun::{self, Wanted};
use super::{gc, log, runner_path, runtime};
use crate::machine::{Resource, open_files};
use crate::matrix::Jobs;
use crate::record::Sink;
use crate::report::console::Detail;
use crate::report::{self, AtEnd, Copies, TerminalInfo};
use crate::runner::{self, LiveSinks, PartId, RunOutcome, Session};
use crate::suite::Interruption;

pub(super) fn run(options: &RunOptions) -> Result<Exit, CliError> {
    let (selected, resumption) = match rerun::wanted(options)? {
        Wanted::Cells(selected, resumption) => (apply(options, *selected)?, resumption),
        Wanted::Nothing(exit) => return Ok(exit),
    };
    let runner = runner_path()?;
    let gc = gc::own_command(&runner);
    let mut session = session(options, selected, runner, gc, None)?;
    if let Some(resumption) = resumption {
        session.resume(*resumption);
    }
    let exit = execute(session)?.verdict.into();
    Ok(match (exit, options.select.no_cells) {
        // All cells were skipped.
        (Exit::NothingToDo, NoCells::Pass) => Exit::Passed,
        (exit, _) => exit,
    })
}

/// Runs `session`. At the end, reports the resources that are left.
pub(super) fn execute(session: Session) -> Result<RunOutcome, CliError> {
    open_files::raise();
    let (gc, gc_if_abandoned) = (session.gc.clone(), session.gc.clone());
    let abandoned = move || report_leftovers(&[], &gc_if_abandoned);
    let interruption = session.interruption.clone();
    let running = runner::execute(session);
    let outcome = runtime::block_on_until_signal(&interruption, abandoned, running)?;
    if !outcome.left.is_empty() || interruption.forced.is_cancelled() {
        report_leftovers(&outcome.left, &gc);
    }
    Ok(outcome)
}

/// Prints the resources that may be left behind, and the command that deletes them. A closed stderr must not end the
/// run.
pub(super) fn report_leftovers(left: &[Resource], gc: &str) {
    let left = left.iter().map(|resource| format!("  {resource}\n"));
    let what: String = left.collect();
    let text =
        format!("\nthe run may have left resources behind:\n{what}to delete them:\n  {gc}\n");
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// The selected cells, with the options applied to the settings of the matrix file.
pub(super) fn prepare(options: &RunOptions) -> Result<Selected, CliError> {
    apply(options, matrix_file::load(&options.select)?)
}

fn apply(options: &RunOptions, mut selected: Selected) -> Result<Selected, CliError> {
    options.clusters.apply(&mut selected.matrix);
    options.execution.apply(&mut selected.matrix);
    let run = &selected.matrix.run;
    if let (Jobs::Exactly(jobs), Some(ports)) = (run.jobs, run.ports.len())
        && jobs.get() > ports
    {
        return Err(CliError::rejected(
            format!("{jobs} cells at once need {jobs} ports, but `ports` has only {ports}"),
            "widen the range `ports` in `[run]`, or use fewer `--jobs`",
        ));
    }
    let cells = selected.cells.len();
    if options.clusters.cluster_name.is_some() && cells > 1 {
        return Err(CliError::rejected(
            format!("`--cluster-name` is the name of one cluster, but {cells} cells are selected"),
            "select one cell with `--filter`, or set the prefix of all names with `--cluster-prefix`",
        ));
    }
    if options.clusters.cluster_name.is_some() && overlaps(options, run.jobs) {
        return Err(CliError::rejected(
            "`--cluster-name` is the name of one cluster, but `--repeat` runs several at once",
            "run the repetitions one after another with `--jobs 1`, or set the prefix of all names with `--cluster-prefix`",
        ));
    }
    Ok(selected)
}

/// Whether repetitions of one cell may run at the same time. With `--until-failure`, rounds run one after another; with
/// `--jobs 1`, cells run one after another.
fn overlaps(options: &RunOptions, jobs: Jobs) -> bool {
    let one_by_one = options.execution.until_failure || jobs == Jobs::Exactly(NonZeroUsize::MIN);
    let rounds = options.execution.repeat.map_or(1, NonZeroU32::get);
    rounds > 1 && !one_by_one
}

/// The session that runs the cells of `selected`, into which values from this process's environment are inserted.
pub(super) fn session(
    options: &RunOptions,
    selected: Selected,
    runner: PathBuf,
    gc: String,
    part: Option<PartId>,
) -> Result<Session, CliError> {
    let copies = Copies::from(&options.copies);
    let (workload, selection) = selected.resolve(runner)?;
    Ok(Session {
        out: options.output_dir.of(&workload.path),
        workload,
        policy: options.execution.policy(),
        selection,
        resumption: None,
        part,
        cluster: options.clusters.cluster_name.clone(),
        sinks: sinks(options, copies.clone()),
        copies: copies.paths(),
        interruption: Interruption::held_at(options.execution.hold),
        gc,
    })
}

/// Events are written to stderr as they happen; at the end, tables are written to stdout and reports to files.
fn sinks(options: &RunOptions, copies: Copies) -> LiveSinks {
    let (color, verbose) = (options.output.color, options.verbose);
    Box::new(move |folder| {
        log::write_to(folder);
        let files = AtEnd::files(folder.to_owned(), copies);
        vec![
            console(color, verbose),
            Box::new(tables(color, folder)),
            Box::new(files),
        ]
    })
}

/// The live console.
pub(super) fn console(color: ColorChoice, verbose: bool) -> Box<dyn Sink> {
    let err = TerminalInfo::of(&io::stderr());
    let detail = if verbose {
        Detail::Phases
    } else {
        Detail::Cells
    };
    report::live(err, color.on(err), detail)
}

/// The tables of the run in `folder`.
pub(super) fn tables(color: ColorChoice, folder: &Path) -> AtEnd {
    let out = TerminalInfo::of(&io::stdout());
    AtEnd::tables(io::stdout(), out.width, color.on(out), folder.to_owned())
}
