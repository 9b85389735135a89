//! The JUnit file: one suite per cell and one case per phase. All text is written through [`XmlText`].
//!
//! The properties of a suite are the cell's value on each axis, with the name of the axis, and its tags.
//!
//! `failure` is a product failure. `error` is a configuration or infrastructure failure, or a phase that was
//! interrupted by the end of the run. A failure of the run itself, outside any cell, becomes the single test case in a
//! suite named `run`. So does the verdict of a run that didn't pass although nothing in the file failed, for example
//! because a shard is missing.
//!
//! The suite of a flaky cell passes. If a phase failed in an earlier attempt, the `system-out` of its case also shows
//! that attempt. If flaky cells count as failed in the run, the suite has one more case that says so.
//!
//! The failed cases of a cell that is allowed to fail are `skipped`, with the failure as the reason, because CI servers
//! mark a build as failed for each `failure` and `error` that they read. The failure's evidence is in the case's
//! `system-out`.

mod output;

use std::io::{self, Seek, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString,
};
use rayon::prelude::*;

use super::attribution::attribution;
use super::text;
use crate::event::{Failure, FailureClass, FlakyResult, RunVerdict, Severity};
use crate::record::model::{CellModel, Fault, PhaseModel, PhaseOutcome, RunModel};
use crate::record::xml_text::XmlText;

/// The name of the report, the class name of cases without a cell, and the first part of all other class names.
const CLASS_NAME: &str = "e2e-matrix";
/// The replacement for a tab.
const TAB: &str = "    ";

/// How many cells are converted to suites at once. Suites take several times the memory of their cells.
const CELLS_AT_ONCE: usize = 256;

/// How many bytes of suites are kept in memory until all suites are counted. The counts are at the start of the file,
/// so nothing can be written to the file earlier. If there are more bytes, all of them are kept in a temporary file.
const BUFFER: usize = 8 << 20;

/// Writes the whole file. The paths of attachments begin with `folder`, the run's folder.
pub(super) fn write(run: &RunModel, folder: &Path, out: &mut impl Write) -> io::Result<()> {
    let explained = attribution(run);
    let mut report = Report::new(CLASS_NAME);
    let mut suites = tempfile::spooled_tempfile(BUFFER);
    for cells in run.cells.chunks(CELLS_AT_ONCE) {
        let added = cells.par_iter();
        let added = added.map(|cell| cell_suite(run, cell, explained.as_deref(), folder));
        report.add_test_suites(added.collect::<Vec<_>>());
        let text = report.to_string().map_err(io::Error::other)?;
        suites.write_all(parts(&text)[1].as_bytes())?;
        // Clearing the suites doesn't change the counts.
        report.test_suites.clear();
    }
    if report.failures + report.errors == 0 {
        report.add_test_suites(unexplained_run(run));
    }
    let text = report.to_string().map_err(io::Error::other)?;
    let [start, rest, end] = parts(&text);
    out.write_all(start.as_bytes())?;
    suites.rewind()?;
    io::copy(&mut suites, out)?;
    write!(out, "{rest}{end}")
}

/// Everything up to the start tag of the root element, the suites, and the end tag.
fn parts(text: &str) -> [&str; 3] {
    // The declaration and the start tag have one line each, because attributes contain no line breaks.
    let start: usize = text.split_inclusive('\n').take(2).map(str::len).sum();
    let end = text.rfind("</testsuites>").unwrap_or(text.len());
    [&text[..start], &text[start..end], &text[end..]]
}

fn cell_suite(
    run: &RunModel,
    cell: &CellModel,
    explained: Option<&str>,
    folder: &Path,
) -> TestSuite {
    let cases = cell.phases.iter();
    let cases = cases.map(|phase| phase_case(cell, phase, folder));
    let cases = cases.chain(cell_case(cell)).chain(flaky_case(run, cell));
    let host = cell.host.as_deref().unwrap_or(host_name(run));
    let began = cell.began().or(run.started);
    let mut suite = suite(cell.summary.id.as_str(), began, host, cases);
    suite
        .add_properties(properties(cell))
        .set_system_out(block(&output::of_cell(run, cell, explained, folder)));
    suite
}

/// The cell's value on each axis, and its tags.
fn properties(cell: &CellModel) -> Vec<Property> {
    let summary = &cell.summary;
    let nodes = summary.nodes.to_string();
    let mut all: Vec<(&str, &str)> = vec![
        ("kubernetes", &summary.kubernetes),
        ("nodes", &nodes),
        ("config", &summary.config),
    ];
    let axes = summary.axes.iter();
    all.extend(axes.map(|place| (&*place.axis, &*place.value)));
    all.extend(summary.tags.iter().map(|tag| ("tag", tag.as_str())));
    let all = all.into_iter();
    all.map(|(name, value)| Property::new(attribute(name), attribute(value)))
        .collect()
}

/// The suite of a run that didn't pass, with the run's warnings; `None` if it passed or had nothing to do. If nothing
/// else in the file failed, the file must not look as if the run passed.
fn unexplained_run(run: &RunModel) -> Option<TestSuite> {
    if let Some(RunVerdict::Passed | RunVerdict::NothingToDo) = run.verdict {
        return None;
    }
    let notices = run.notices.iter();
    let warnings = notices.filter(|notice| notice.severity == Severity::Warning);
    let mut lines = vec![text::run_verdict(run)];
    lines.extend(warnings.map(|notice| notice.text.as_str()));
    let message = lines.join("; ");
    let mut status = non_success(NonSuccessKind::Error, "run-not-passed", &message);
    status.set_description(block(&lines.join("\n")));
    let case = case("run", CLASS_NAME, status);
    Some(suite("run", run.started, host_name(run), [case]))
}

/// A suite with these cases. Its time is the sum of their times.
fn suite(
    name: &str,
    began: Option<Timestamp>,
    host: &str,
    cases: impl IntoIterator<Item = TestCase>,
) -> TestSuite {
    let mut suite = TestSuite::new(attribute(name));
    suite.add_test_cases(cases);
    let times = suite.test_cases.iter().filter_map(|case| case.time);
    suite.time = Some(times.fold(Duration::ZERO, Duration::saturating_add));
    // If the time isn't known, it is the epoch: the file must not depend on the clock.
    let began = began.unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let facts = [("timestamp", began.as_str()), ("hostname", host)];
    let facts = facts.map(|(name, value)| (name.into(), attribute(value)));
    suite.extra.extend(facts);
    suite
}

fn phase_case(cell: &CellModel, phase: &PhaseModel, folder: &Path) -> TestCase {
    let status = match &phase.outcome {
        PhaseOutcome::Passed => TestCaseStatus::success(),
        PhaseOutcome::Skipped(reason) => because(TestCaseStatus::skipped(), "skipped", reason),
        PhaseOutcome::Failed(failure) => red(failure),
        PhaseOutcome::Interrupted(_) => {
            let phase = Some(phase);
            unexplained(Fault { cell, phase })
        }
    };
    let mut case = case_of(cell, phase.name(), status);
    case.set_time(Duration::from_millis(phase.duration_ms));
    if let Some(text) = output::of_phase(cell, phase, folder) {
        case.set_system_out(block(&text));
    }
    case
}

/// A case of `cell` that took no time. If the cell is allowed to fail, a failure doesn't count.
fn case_of(cell: &CellModel, name: &str, status: TestCaseStatus) -> TestCase {
    let status = match status {
        TestCaseStatus::NonSuccess {
            ty: Some(kind),
            message: Some(message),
            ..
        } if cell.summary.allow_failure => {
            let message = format!("allowed to fail: {}", message.as_str());
            because(TestCaseStatus::skipped(), &kind, &message)
        }
        status => status,
    };
    case(name, &format!("{CLASS_NAME}.{}", cell.summary.id), status)
}

/// A case that took no time.
fn case(name: &str, class_name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(attribute(name), status);
    case.set_classname(attribute(class_name))
        .set_time(Duration::ZERO);
    case
}

fn non_success(kind: NonSuccessKind, name: &str, message: &str) -> TestCaseStatus {
    because(TestCaseStatus::non_success(kind), name, message)
}

fn because(mut status: TestCaseStatus, name: &str, message: &str) -> TestCaseStatus {
    status
        .set_type(attribute(name))
        .set_message(attribute(message));
    status
}

fn red(failure: &Failure) -> TestCaseStatus {
    let kind = match failure.class() {
        FailureClass::Product => NonSuccessKind::Failure,
        FailureClass::Configuration | FailureClass::Infrastructure => NonSuccessKind::Error,
    };
    let mut status = non_success(kind, failure.symptom.name(), &failure.message);
    status.set_description(block(&output::cause(failure)));
    status
}

/// The status of a failure without a cause: the run ended or a bug occurred before the phase had a result.
fn unexplained(fault: Fault<'_>) -> TestCaseStatus {
    non_success(NonSuccessKind::Error, &fault.kind(), &fault.sentence())
}

/// A cell that failed without a failed phase gets a failed case, so that it doesn't look as if it passed.
fn cell_case(cell: &CellModel) -> Option<TestCase> {
    let mut faults = cell.faults().into_iter();
    let fault = faults.find(|fault| fault.phase.is_none())?;
    Some(case_of(cell, "cell", unexplained(fault)))
}

/// A flaky cell has no failed phase in its last attempt. If it counts as failed, it needs a failed case.
fn flaky_case(run: &RunModel, cell: &CellModel) -> Option<TestCase> {
    let result = run.facts.as_ref().map(|facts| facts.flaky_result);
    if !cell.is_flaky() || result != Some(FlakyResult::Fail) {
        return None;
    }
    let fault = cell.earlier.iter().flat_map(CellModel::faults).next()?;
    let (number, failed) = (cell.attempt, text::attempt(&fault));
    let message = format!("passed on attempt {number}; {failed}");
    let status = non_success(NonSuccessKind::Failure, "flaky", &message);
    let mut case = case_of(cell, "flaky", status);
    if let Some(failure) = fault.failure() {
        case.set_system_out(block(&output::cause(failure)));
    }
    Some(case)
}

/// Text for an attribute, on one line.
fn attribute(text: &str) -> XmlString {
    XmlText::new(text).attribute().into()
}

/// Text for the inside of an element. The writer drops tabs, so each one becomes spaces.
fn block(text: &str) -> XmlString {
    XmlText::new(text).as_str().replace('\t', TAB).into()
}

fn host_name(run: &RunModel) -> &str {
    let facts = run.facts.as_ref();
    facts.map_or("unknown", |facts| facts.host.name.as_str())
}

#[cfg(test)]
mod tests;
