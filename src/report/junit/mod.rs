//! The JUnit file: one suite per cell and one case per phase. All text is written through [`XmlText`].
//!
//! `failure` is a product failure. `error` is a configuration or infrastructure failure, or a phase that was interrupted by the end
//! of the run. A failure of the run itself, outside any cell, is the only case of a suite named `run`.
//!
//! The suite of a flaky cell passes, and the cases of phases that failed in an earlier attempt have that attempt in their
//! `system-out`. If flaky cells count as failed in the run, the suite has one more case that says so.
//!
//! The failed cases of a cell that is allowed to fail are `skipped`, with the failure as the reason, because CI servers mark a build
//! as failed for each `failure` and `error` that they read. The failure's evidence is in the case's `system-out`.

mod output;

use jiff::Timestamp;
use junit_report::{
    Duration, OffsetDateTime, ReportBuilder, TestCase, TestCaseBuilder, TestSuite, TestSuiteBuilder,
};
use rayon::prelude::*;

use super::attribution::attribution;
use super::text;
use crate::event::{Failure, FailureClass, FlakyResult};
use crate::record::model::{CellModel, Fault, PhaseModel, PhaseOutcome, RunModel};
use crate::record::xml_text::XmlText;

/// The class name of cases without a cell, and the first part of the others'.
const CLASS_NAME: &str = "e2e-matrix";

/// The whole file.
#[expect(clippy::missing_panics_doc, reason = "writing to memory does not fail")]
pub fn render(run: &RunModel) -> String {
    let explained = attribution(run).map(|attribution| attribution.to_string());
    let cells: Vec<_> = run
        .cells
        .par_iter()
        .map(|cell| cell_suite(run, cell, explained.as_deref()))
        .collect();
    let report = ReportBuilder::new()
        .add_testsuites(run_suite(run))
        .add_testsuites(cells)
        .build();
    let mut xml = Vec::new();
    report
        .write_xml(&mut xml)
        .expect("writing to memory can't fail, and the writer has no other error");
    String::from_utf8(xml).expect("the writer was given only UTF-8")
}

fn cell_suite(run: &RunModel, cell: &CellModel, explained: Option<&str>) -> TestSuite {
    let cases = cell.phases.iter().map(|phase| phase_case(cell, phase));
    let mut suite = TestSuiteBuilder::new(&attribute(cell.summary.id.as_str()))
        .set_timestamp(date(cell.began().or(run.started)))
        .add_testcases(cases)
        .add_testcases(cell_case(cell))
        .add_testcases(flaky_case(run, cell))
        .set_system_out(&cdata(&output::of_cell(run, cell, explained)))
        .build();
    suite.hostname = cell
        .host
        .as_deref()
        .map_or_else(|| host_name(run), attribute);
    suite
}

/// The suite for everything without a cell; only if something went wrong.
fn run_suite(run: &RunModel) -> Option<TestSuite> {
    let cases = run.failures.iter().map(|failure| {
        let mut case = red_case("run", Duration::ZERO, failure);
        case.set_classname(CLASS_NAME)
            .set_system_out(&cdata(&output::of_run_failure(failure)));
        case.build()
    });
    let mut cases: Vec<_> = cases.collect();
    if cases.is_empty() && run.cells.is_empty() && run.verdict.is_none() {
        cases.push(lost_run());
    }
    if cases.is_empty() {
        return None;
    }
    let mut suite = TestSuiteBuilder::new("run")
        .set_timestamp(date(run.started))
        .add_testcases(cases)
        .build();
    suite.hostname = host_name(run);
    Some(suite)
}

/// A run that was killed before its first cell must not look like a passed file.
fn lost_run() -> TestCase {
    let message = "the run ended before its first cell";
    TestCaseBuilder::error("run", Duration::ZERO, "interrupted", message)
        .set_classname(CLASS_NAME)
        .build()
}

fn phase_case(cell: &CellModel, phase: &PhaseModel) -> TestCase {
    let name = attribute(phase.name());
    let name = name.as_str();
    let time = seconds(phase.duration_ms);
    let mut case = match &phase.outcome {
        PhaseOutcome::Passed => TestCaseBuilder::success(name, time),
        PhaseOutcome::Skipped(reason) => skipped_case(name, "skipped", reason),
        PhaseOutcome::Failed(failure) if cell.summary.allow_failure => {
            let reason = format!("allowed to fail: {}", failure.message);
            skipped_case(name, failure.symptom.name(), &reason)
        }
        PhaseOutcome::Failed(failure) => red_case(name, time, failure),
        PhaseOutcome::Interrupted(_) => unexplained_case(
            name,
            time,
            Fault {
                cell,
                phase: Some(phase),
            },
        ),
    };
    case.set_classname(&class_name(cell));
    if let Some(text) = output::of_phase(cell, phase) {
        case.set_system_out(&cdata(&text));
    }
    case.build()
}

fn skipped_case(name: &str, kind: &str, reason: &str) -> TestCaseBuilder {
    TestCaseBuilder {
        testcase: TestCase::skipped_with_cause(name, kind, &attribute(reason)),
    }
}

fn red_case(name: &str, time: Duration, failure: &Failure) -> TestCaseBuilder {
    let kind = failure.symptom.name();
    let message = attribute(&failure.message);
    let mut case = match failure.class() {
        FailureClass::Product => TestCaseBuilder::failure(name, time, kind, &message),
        FailureClass::Configuration | FailureClass::Infrastructure => {
            TestCaseBuilder::error(name, time, kind, &message)
        }
    };
    case.set_trace(&cdata(&output::cause(failure)));
    case
}

/// A failure without a cause: interrupted by the end of the run, or by a bug.
fn unexplained_case(name: &str, time: Duration, fault: Fault<'_>) -> TestCaseBuilder {
    let (kind, sentence) = (fault.kind(), fault.sentence());
    if fault.cell.summary.allow_failure {
        return skipped_case(name, &kind, &format!("allowed to fail: {sentence}"));
    }
    TestCaseBuilder::error(name, time, &kind, &attribute(&sentence))
}

/// A cell that failed without a failed phase must not look like a passed one.
fn cell_case(cell: &CellModel) -> Option<TestCase> {
    let mut faults = cell.faults().into_iter();
    let fault = faults.find(|fault| fault.phase.is_none())?;
    let mut case = unexplained_case("cell", Duration::ZERO, fault);
    case.set_classname(&class_name(cell));
    Some(case.build())
}

/// A flaky cell has no failed phase at the end. If it counts as failed, it needs a failed case.
fn flaky_case(run: &RunModel, cell: &CellModel) -> Option<TestCase> {
    let result = run.facts.as_ref().map(|facts| facts.flaky_result);
    if !cell.is_flaky() || result != Some(FlakyResult::Fail) {
        return None;
    }
    let fault = cell.earlier.iter().flat_map(CellModel::faults).next()?;
    let message = format!(
        "passed at attempt {}; {}",
        cell.attempt,
        text::attempt(&fault)
    );
    let mut case = if cell.summary.allow_failure {
        skipped_case("flaky", "flaky", &format!("allowed to fail: {message}"))
    } else {
        TestCaseBuilder::failure("flaky", Duration::ZERO, "flaky", &attribute(&message))
    };
    if let Some(failure) = fault.failure() {
        case.set_system_out(&cdata(&output::cause(failure)));
    }
    case.set_classname(&class_name(cell));
    Some(case.build())
}

fn class_name(cell: &CellModel) -> String {
    attribute(&format!("{CLASS_NAME}.{}", cell.summary.id))
}

fn attribute(text: &str) -> String {
    XmlText::new(text).attribute()
}

fn cdata(text: &str) -> String {
    XmlText::new(text).cdata()
}

fn host_name(run: &RunModel) -> String {
    let name = run.facts.as_ref().map(|facts| facts.host.name.as_str());
    attribute(name.unwrap_or("unknown"))
}

fn seconds(milliseconds: u64) -> Duration {
    Duration::milliseconds(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

/// The epoch if the time isn't known: the file must not depend on the clock.
fn date(at: Option<Timestamp>) -> OffsetDateTime {
    let nanoseconds = at.unwrap_or(Timestamp::UNIX_EPOCH).as_nanosecond();
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
