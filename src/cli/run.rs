//! `run`: runs the selected cells and shows the results.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::gc;
use super::log;
use super::matrix_file::{self, Selected};
use super::options::{Color, RunOptions};
use super::rerun::{self, Resumed};
use crate::cluster::ClusterName;
use crate::event::{RunVerdict, Termination};
use crate::machine::{Resource, open_files};
use crate::matrix::Jobs;
use crate::record::Sink;
use crate::report::console::Detail;
use crate::report::{self, AtEnd, Copies, TerminalInfo};
use crate::runner::{self, LiveSinks, PartId, Resumption, RunOutcome, Session};
use crate::suite::Interruption;

pub(super) fn run(options: &RunOptions) -> Result<Exit, CliError> {
    let (selected, resumption) = match wanted(options)? {
        Wanted::Cells(selected, resumption) => (apply(options, *selected)?, resumption),
        Wanted::Nothing(exit) => return Ok(exit),
    };
    let runner = std::env::current_exe().map_err(CliError::Program)?;
    let program = std::env::args_os().next();
    let gc = gc::command(program.as_deref().unwrap_or(runner.as_os_str()));
    let mut session = session(options, selected, runner, gc, None)?;
    if let Some(resumption) = resumption {
        session.resume(*resumption);
    }
    Ok(execute(session)?.verdict.into())
}

/// What to run.
enum Wanted {
    /// These cells, in a new or a resumed run.
    Cells(Box<Selected>, Option<Box<Resumption>>),
    /// Nothing, which has been reported.
    Nothing(Exit),
}

fn wanted(options: &RunOptions) -> Result<Wanted, CliError> {
    if let Some(name) = &options.rerun.rerun_failed {
        return Ok(match rerun::failed_cells(options, name)? {
            Some(selected) => Wanted::Cells(Box::new(selected), None),
            None => Wanted::Nothing(Exit::Passed),
        });
    }
    if let Some(name) = &options.rerun.resume {
        return Ok(match rerun::unfinished_cells(options, name)? {
            Resumed::Unfinished(selected, resumption) => Wanted::Cells(selected, Some(resumption)),
            Resumed::Over(verdict) => Wanted::Nothing(verdict.into()),
        });
    }
    let selected = matrix_file::load(&options.select)?;
    if selected.cells.is_empty() {
        return selected
            .nothing_to_do(options.select.no_cells)
            .map(Wanted::Nothing);
    }
    Ok(Wanted::Cells(Box::new(selected), None))
}

/// Runs `session` on its own runtime, with the signals of the process. At the end, reports the resources that are left.
pub(super) fn execute(session: Session) -> Result<RunOutcome, CliError> {
    open_files::raise();
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::Runtime)?;
    let gc = session.gc.clone();
    let abandoned = gc.clone();
    let abandon = move |by: Termination| {
        report_leftovers(&[], &abandoned);
        std::process::exit(Exit::from(RunVerdict::Interrupted { by }).code().into());
    };
    let interruption = session.interruption.clone();
    let outcome = runtime.block_on(async {
        runner::handle_signals(&session.interruption, abandon).map_err(CliError::Runtime)?;
        Box::pin(runner::execute(session))
            .await
            .map_err(CliError::Session)
    });
    // A lock that another process holds must not block the exit.
    runtime.shutdown_background();
    if let Ok(outcome) = &outcome
        && (!outcome.left.is_empty() || interruption.forced.is_cancelled())
    {
        report_leftovers(&outcome.left, &gc);
    }
    outcome
}

/// Prints the resources that may be left, and the command that deletes them. A closed stderr must not end the run.
pub(super) fn report_leftovers(left: &[Resource], gc: &str) {
    let left = left.iter().map(|resource| format!("  {resource}\n"));
    let what: String = left.collect();
    let text =
        format!("\nthe run may have left resources behind:\n{what}to delete them:\n  {gc}\n");
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// The selected cells, with the options applied to the settings of the file.
pub(super) fn prepare(options: &RunOptions) -> Result<Selected, CliError> {
    apply(options, matrix_file::load(&options.select)?)
}

fn apply(options: &RunOptions, mut selected: Selected) -> Result<Selected, CliError> {
    options.clusters.apply(&mut selected.matrix)?;
    options.execution.apply(&mut selected.matrix);
    let run = &selected.matrix.run;
    if let (Jobs::Exactly(jobs), Some(ports)) = (run.jobs, run.ports.len())
        && jobs.get() > ports
    {
        return Err(CliError::FewPorts {
            jobs: jobs.get(),
            ports,
        });
    }
    let cells = selected.cells.len();
    if options.clusters.cluster_name.is_some() && cells > 1 {
        return Err(CliError::OneNameForMany { cells });
    }
    if options.clusters.cluster_name.is_some() && overlaps(options, run.jobs) {
        return Err(CliError::OneNameAtOnce);
    }
    Ok(selected)
}

/// Whether repetitions of one cell may run at the same time: rounds that may end with a failure run one after another,
/// others don't.
fn overlaps(options: &RunOptions, jobs: Jobs) -> bool {
    let one_by_one = options.execution.until_failure || jobs == Jobs::Exactly(NonZeroUsize::MIN);
    options
        .execution
        .repeat
        .is_some_and(|rounds| rounds.get() > 1)
        && !one_by_one
}

/// The session that runs the cells of `selected`, with values from the environment.
pub(super) fn session(
    options: &RunOptions,
    mut selected: Selected,
    runner: PathBuf,
    gc: String,
    part: Option<PartId>,
) -> Result<Session, CliError> {
    let copies = Copies::from(&options.copies);
    let cluster = options
        .clusters
        .cluster_name
        .as_deref()
        .map(ClusterName::exactly);
    let secrets = selected.resolve()?;
    Ok(Session {
        path: selected.path,
        matrix: selected.matrix,
        cells: selected.cells,
        secrets,
        policy: options.execution.policy(),
        selection: selected.selection,
        warnings: selected.warnings,
        resumption: None,
        runner,
        out: options.output_dir.path.clone(),
        part,
        cluster: cluster.transpose()?,
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
        let sinks: [Box<dyn Sink>; 3] = [
            console(color, verbose),
            Box::new(tables(color, folder)),
            Box::new(files),
        ];
        sinks.into()
    })
}

/// The live console.
pub(super) fn console(color: Color, verbose: bool) -> Box<dyn Sink> {
    let err = TerminalInfo::of(&io::stderr());
    let detail = if verbose {
        Detail::Phases
    } else {
        Detail::Cells
    };
    report::live(err, err.color(color.into()), detail)
}

/// The tables of the run in `folder`.
pub(super) fn tables(color: Color, folder: &Path) -> AtEnd {
    let out = TerminalInfo::of(&io::stdout());
    let color = out.color(color.into());
    AtEnd::tables(io::stdout(), out.width, color, folder.to_owned())
}
