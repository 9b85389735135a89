//! The content of the page as the template needs it: texts, classes and positions.

use askama::Template;

use super::cell::CellView;
use crate::event::{Failure, LikelyCause, LogExcerpt};
use crate::record::model::{CellModel, Fault, RunModel, failure_kind};
use crate::report::attribution::attribution;
use crate::report::marks::{self, Mark};
use crate::report::summary::counters;
use crate::report::summary::times::{self, TimeRow};
use crate::report::text;

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    verdict: &'static str,
    tone: &'static str,
    tally: String,
    duration: String,
    facts: Vec<(&'static str, String)>,
    notices: Vec<(&'static str, String)>,
    failures: Vec<FailureView<'a>>,
    cell_column: &'static str,
    local: &'static str,
    phase_names: Vec<&'a str>,
    legend: Vec<(String, &'static str)>,
    counter_names: Vec<&'a str>,
    reasons: Vec<ReasonView>,
    run: &'a RunModel,
    columns: Vec<&'a str>,
    phase_times: Vec<TimeView<'a>>,
    step_times: Vec<TimeView<'a>>,
}

/// A failed phase, in one line.
struct ReasonView {
    anchor: String,
    place: String,
    verdict: String,
    tone: &'static str,
    text: String,
}

pub(super) struct FailureView<'a> {
    kind: String,
    message: &'a str,
    remedy: Option<&'a str>,
    cause: Option<&'a LikelyCause>,
    usual_causes: Option<String>,
    logs: &'a [LogExcerpt],
}

struct TimeView<'a> {
    name: &'a str,
    cells: usize,
    median: String,
    slowest: String,
    slowest_in: &'a str,
}

impl<'a> Page<'a> {
    pub(super) fn new(run: &'a RunModel) -> Self {
        let columns = counters::columns(run);
        Self {
            verdict: text::run_verdict(run),
            tone: marks::run_tone(run).name(),
            tally: text::tally(run),
            duration: text::duration(run.duration_ms),
            facts: run_facts(run),
            notices: notices(run),
            failures: run.failures.iter().map(FailureView::new).collect(),
            cell_column: text::cell_column(run),
            local: text::local_mark(run),
            phase_names: run
                .stages()
                .into_iter()
                .map(|(phase, command)| command.unwrap_or(phase.name()))
                .collect(),
            legend: legend(),
            counter_names: columns
                .iter()
                .map(|name| marks::short_counter(name))
                .collect(),
            reasons: run.cells.iter().flat_map(ReasonView::of_cell).collect(),
            run,
            columns,
            phase_times: times::phases(run).iter().map(TimeView::new).collect(),
            step_times: times::steps(run).iter().map(TimeView::new).collect(),
        }
    }
}

impl<'a> Page<'a> {
    /// The cells, one at a time, so that a page of many cells doesn't have to fit in memory.
    fn cells(&self) -> impl Iterator<Item = CellView<'a>> {
        let cells = self.run.cells.iter();
        cells.map(|cell| CellView::new(self.run, cell, &self.columns))
    }
}

/// The words in the table of cells; a passed phase shows a number instead.
fn legend() -> Vec<(String, &'static str)> {
    let words = Mark::ALL.into_iter().filter(|mark| *mark != Mark::Passed);
    words.map(|mark| (mark.narrow(0), mark.meaning())).collect()
}

fn notices(run: &RunModel) -> Vec<(&'static str, String)> {
    let local = run
        .is_local()
        .then(|| ("warning", text::not_exercised(run)));
    let notices = run.notices.iter();
    let notices = notices.map(|notice| (text::notice_mark(notice.severity), notice.text.clone()));
    local.into_iter().chain(notices).collect()
}

fn run_facts(run: &RunModel) -> Vec<(&'static str, String)> {
    let Some(facts) = &run.facts else {
        return Vec::new();
    };
    let mut list = vec![
        ("run", facts.run.clone()),
        ("matrix", facts.matrix.clone()),
        ("filters", facts.filters.join(", ")),
        ("provider", facts.provider.clone()),
        ("because", facts.provider_reason.clone().unwrap_or_default()),
        ("cells at once", facts.jobs.to_string()),
        (
            "host",
            format!("{} ({})", facts.host.name, text::machine(&facts.host)),
        ),
        ("tools", facts.host.tools.join(", ")),
        ("runner", facts.runner.clone()),
        (
            "started",
            run.started.map(|at| at.to_string()).unwrap_or_default(),
        ),
    ];
    list.extend(attribution(run).map(|text| ("explained by", text.to_string())));
    list.extend(text::lineage(run));
    list.extend(
        text::repetitions(run)
            .into_iter()
            .map(|text| ("repeated", text)),
    );
    list.retain(|(_, value)| !value.is_empty());
    list
}

impl ReasonView {
    /// One per failed phase, those of earlier attempts first.
    fn of_cell(cell: &CellModel) -> Vec<Self> {
        let earlier = cell.earlier.iter().flat_map(CellModel::faults);
        let last = cell.faults().into_iter().map(Self::new);
        earlier.map(Self::of_attempt).chain(last).collect()
    }

    fn of_attempt(fault: Fault<'_>) -> Self {
        let (id, attempt) = (&fault.cell.summary.id, fault.cell.attempt);
        let reason = Self::new(fault);
        Self {
            anchor: match fault.phase {
                Some(phase) => format!("{id}.attempt-{attempt}.{}", phase.name()),
                None => id.to_string(),
            },
            place: format!("{}, attempt {attempt}", reason.place),
            ..reason
        }
    }

    fn new(fault: Fault<'_>) -> Self {
        let id = fault.cell.summary.id.as_str();
        Self {
            anchor: match fault.phase {
                Some(phase) => format!("{id}.{}", phase.name()),
                None => id.to_owned(),
            },
            place: fault.place(),
            verdict: marks::verdict(fault.cell),
            tone: marks::verdict_tone(fault.cell).name(),
            text: fault.sentence(),
        }
    }
}

impl<'a> FailureView<'a> {
    pub(super) fn new(failure: &'a Failure) -> Self {
        Self {
            kind: failure_kind(failure),
            message: &failure.message,
            remedy: failure.remedy.as_deref(),
            cause: failure.likely_cause.as_deref(),
            usual_causes: text::usual_causes(failure),
            logs: &failure.logs,
        }
    }
}

impl<'a> TimeView<'a> {
    fn new(row: &TimeRow<'a>) -> Self {
        Self {
            name: row.name,
            cells: row.cells,
            median: text::duration(row.median_ms),
            slowest: text::duration(row.slowest_ms),
            slowest_in: row.slowest_in.as_str(),
        }
    }
}
