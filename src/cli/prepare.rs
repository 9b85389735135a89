//! `prepare`: creates templates for the clusters of the selected cells, and reports each template when it is ready.

use std::io::{self, Write};

use super::error::CliError;
use super::exit::Exit;
use super::options::PrepareOptions;
use super::run::report_leftovers;
use super::{gc, matrix_file, runner_path, runtime};
use crate::cluster::Preparation;
use crate::event::{FailureClass, RunVerdict};
use crate::machine::open_files;
use crate::matrix::ProviderChoice;
use crate::record::xml_text::clean;
use crate::runner::{self, PreparedCell, SessionError};
use crate::secret::{Mask, log_mask};
use crate::suite::Interruption;

pub(super) fn run(options: &PrepareOptions) -> Result<Exit, CliError> {
    let mut selected = matrix_file::load(&options.select)?;
    if selected.cells.is_empty() {
        return selected.nothing_to_do(options.select.no_cells);
    }
    let settings = &mut selected.matrix.run;
    settings.skip_missing_images |= options.skip_missing_images;
    if settings.provider == ProviderChoice::Auto {
        // Only kind has clusters to prepare, so `auto` means kind, and it is an error if kind is missing.
        settings.provider = ProviderChoice::Kind;
    }
    let runner = runner_path()?;
    let gc = gc::own_command(&runner);
    let (workload, _) = selected.resolve(runner)?;
    open_files::raise();
    let mut failed = Vec::new();
    let report = |prepared: PreparedCell| {
        if let Some(Err(failure)) = &prepared.preparation {
            failed.push(failure.class());
        }
        let line = line(&prepared, &log_mask());
        // A closed stdout must not end the command.
        drop(writeln!(io::stdout().lock(), "{line}"));
    };
    let interruption = Interruption::default();
    let preparing = runner::prepare_clusters(workload, &interruption, report);
    let prepared = runtime::block_on_until_signal(&interruption, || {}, preparing)?;
    if !prepared.left.is_empty() {
        report_leftovers(&prepared.left, &gc);
    }
    prepared.finished.map_err(SessionError::from)?;
    Ok(match interruption.by() {
        Some(by) => RunVerdict::Interrupted { by }.into(),
        None => exit_of(&failed),
    })
}

/// The exit code after failures of these classes. The order of classes is their precedence.
fn exit_of(failed: &[FailureClass]) -> Exit {
    let worst = failed.iter().min();
    worst.map_or(Exit::Passed, |class| Exit::from(*class))
}

/// The line for a cell. Failures may quote the output of programs, so secrets are masked and control characters are
/// removed.
fn line(prepared: &PreparedCell, mask: &Mask) -> String {
    let cell = &prepared.cell;
    let text = match &prepared.preparation {
        None => format!("{cell}: skipped, because its node image is missing"),
        Some(Ok(Preparation { template, is_new })) if *is_new => {
            format!("{cell}: prepared as template {template}")
        }
        Some(Ok(Preparation { template, .. })) => {
            format!("{cell}: template {template} already exists")
        }
        Some(Err(failure)) => {
            let remedy = failure.remedy.as_ref();
            let remedy = remedy.map(|remedy| format!("\n  hint: {remedy}"));
            format!("{cell}: failed: {failure}{}", remedy.unwrap_or_default())
        }
    };
    clean(&mask.apply(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, Symptom};
    use crate::report::fixture::MIXED;
    use crate::secret::Secret;

    #[test]
    fn a_failure_is_printed_without_secrets_and_control_characters() {
        let mask = Mask::new([Secret::new("canary-in-a-failure")]);
        let message = "denied to canary-in-a-failure\u{1B}[2J";
        let prepared = PreparedCell {
            cell: MIXED[0].id(),
            preparation: Some(Err(Failure::new(Symptom::ImagePullFailed, message))),
        };
        assert_eq!(
            line(&prepared, &mask),
            "k8s-1.30-n1-default: failed: denied to ***"
        );
    }

    #[test]
    fn the_exit_code_depends_on_the_precedence_of_failures_and_not_on_their_order() {
        let mut classes = FailureClass::ALL;
        assert_eq!(exit_of(&classes), Exit::Product);
        classes.reverse();
        assert_eq!(exit_of(&classes), Exit::Product);
        assert_eq!(exit_of(&classes[..2]), Exit::Configuration);
        assert_eq!(exit_of(&[]), Exit::Passed);
        let ranks = FailureClass::ALL.map(|class| {
            let mut table = Exit::TABLE.iter();
            table.position(|(exit, _)| *exit == Exit::from(class))
        });
        assert!(ranks.is_sorted(), "{ranks:?}");
    }
}
