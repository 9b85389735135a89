//! `prepare`: creates the templates of the selected cells' clusters, and reports each one when it is ready.

use std::io::{self, Write};

use super::error::CliError;
use super::exit::Exit;
use super::gc;
use super::matrix_file;
use super::options::PrepareOptions;
use super::run::report_leftovers;
use crate::cluster::Preparation;
use crate::event::{Failure, FailureClass, RunVerdict, Termination};
use crate::machine::open_files;
use crate::matrix::ProviderChoice;
use crate::runner::{self, PrepareRequest, PreparedCell};
use crate::suite::Interruption;

pub(super) fn run(options: &PrepareOptions) -> Result<Exit, CliError> {
    let mut selected = matrix_file::load(&options.select)?;
    if selected.cells.is_empty() {
        return selected.nothing_to_do(options.select.no_cells);
    }
    let settings = &mut selected.matrix.run;
    settings.skip_missing_images |= options.skip_missing_images;
    if settings.provider == ProviderChoice::Auto {
        // Only kind has clusters to prepare, so its absence is an error.
        settings.provider = ProviderChoice::Kind;
    }
    let interruption = Interruption::default();
    let secrets = selected.resolve()?;
    let runner = std::env::current_exe().map_err(CliError::Program)?;
    let program = std::env::args_os().next();
    let gc = gc::command(program.as_deref().unwrap_or(runner.as_os_str()));
    let request = PrepareRequest {
        path: selected.path,
        matrix: selected.matrix,
        cells: selected.cells,
        secrets,
        runner,
        interruption: interruption.clone(),
    };
    open_files::raise();
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::Runtime)?;
    let mut exit = Exit::Passed;
    let report = |prepared: PreparedCell| {
        if let Some(Err(failure)) = &prepared.preparation {
            exit = exit_of(failure);
        }
        // A closed stdout must not end the command.
        drop(writeln!(io::stdout().lock(), "{}", line(&prepared)));
    };
    let outcome = runtime.block_on(async {
        let abandon = |by: Termination| {
            std::process::exit(Exit::from(RunVerdict::Interrupted { by }).code().into())
        };
        runner::handle_signals(&interruption, abandon).map_err(CliError::Runtime)?;
        let preparing = Box::pin(runner::prepare_clusters(request, report));
        preparing.await.map_err(CliError::Session)
    });
    // A lock that another process holds must not block the exit.
    runtime.shutdown_background();
    let prepared = outcome?;
    if !prepared.left.is_empty() {
        report_leftovers(&prepared.left, &gc);
    }
    prepared.finished.map_err(CliError::Session)?;
    Ok(match interruption.by() {
        Some(by) => RunVerdict::Interrupted { by }.into(),
        None => exit,
    })
}

fn exit_of(failure: &Failure) -> Exit {
    match failure.class() {
        FailureClass::Product => Exit::Product,
        FailureClass::Configuration => Exit::Configuration,
        FailureClass::Infrastructure => Exit::Infrastructure,
    }
}

fn line(prepared: &PreparedCell) -> String {
    let cell = &prepared.cell;
    match &prepared.preparation {
        None => format!("{cell}: skipped, because its node image is missing"),
        Some(Ok(Preparation {
            template,
            is_new: true,
        })) => {
            format!("{cell}: prepared as template {template}")
        }
        Some(Ok(Preparation {
            template,
            is_new: false,
        })) => {
            format!("{cell}: template {template} already exists")
        }
        Some(Err(failure)) => {
            let remedy = failure.remedy.as_ref();
            let remedy = remedy.map(|remedy| format!("\n  to do: {remedy}"));
            format!("{cell}: failed: {failure}{}", remedy.unwrap_or_default())
        }
    }
}
