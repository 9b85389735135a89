//! The content of the page in the form that the template needs: text, CSS classes and positions.

use askama::Template;

use super::cell::CellView;
use crate::record::model::{CellModel, Fault, RunModel};
use crate::report::attribution::attribution;
use crate::report::marks::{self, Mark};
use crate::report::summary::counters;
use crate::report::summary::times::{self, TimeRow};
use crate::report::text;

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    duration: String,
    facts: Vec<(&'static str, String)>,
    notices: Vec<(&'static str, String)>,
    local: &'static str,
    phase_names: Vec<&'a str>,
    reasons: Vec<ReasonView>,
    run: &'a RunModel,
    columns: Vec<&'a str>,
    times: Vec<(&'static str, Vec<TimeRow<'a>>)>,
}

/// A failed phase, in one line.
struct ReasonView {
    anchor: String,
    place: String,
    verdict: String,
    tone: &'static str,
    text: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(run: &'a RunModel) -> Self {
        let columns = counters::columns(run);
        let stages = run.stages().into_iter();
        let names = stages.map(|(phase, command)| command.unwrap_or(phase.name()));
        Self {
            duration: text::duration(run.duration_ms),
            facts: run_facts(run),
            notices: notices(run),
            local: text::local_mark(run),
            phase_names: names.collect(),
            reasons: run.cells.iter().flat_map(ReasonView::of_cell).collect(),
            run,
            columns,
            times: times::kinds(run),
        }
    }

    /// The cells, one at a time, so that the page of a run with many cells doesn't have to fit in memory.
    fn cells(&self) -> impl Iterator<Item = CellView<'a>> {
        let cells = self.run.cells.iter();
        cells.map(|cell| CellView::new(self.run, cell, &self.columns))
    }
}

/// The words in the table of cells, with their meanings. A passed phase shows a number instead of a word.
fn legend() -> Vec<(String, &'static str)> {
    let words = Mark::ALL.into_iter().filter(|mark| *mark != Mark::Passed);
    words.map(|mark| (mark.narrow(0), mark.meaning())).collect()
}

fn notices(run: &RunModel) -> Vec<(&'static str, String)> {
    let local = text::not_exercised(run).map(|text| ("warning", text));
    let notices = run.notices.iter();
    let notices = notices.map(|notice| (text::notice_mark(notice.severity), notice.text.clone()));
    local.into_iter().chain(notices).collect()
}

fn run_facts(run: &RunModel) -> Vec<(&'static str, String)> {
    let Some(facts) = &run.facts else {
        return Vec::new();
    };
    let host = &facts.host;
    let started = run.started.map(|at| at.to_string());
    let mut list = vec![
        ("run", facts.run.clone()),
        ("matrix", facts.matrix.clone()),
        ("filters", facts.filters.join(", ")),
        ("provider", facts.provider.clone()),
        ("because", facts.provider_reason.clone().unwrap_or_default()),
        ("cells at once", facts.jobs.to_string()),
        ("host", format!("{} ({})", host.name, text::machine(host))),
        ("tools", host.tools.join(", ")),
        ("runner", facts.runner.clone()),
        ("started", started.unwrap_or_default()),
    ];
    list.extend(attribution(run).map(|text| ("explained by", text)));
    list.extend(text::lineage(run));
    let repetitions = text::repetitions(run).into_iter();
    list.extend(repetitions.map(|text| ("repeated", text)));
    list.retain(|(_, value)| !value.is_empty());
    list
}

impl ReasonView {
    /// One line per failed phase. Those of earlier attempts come first.
    fn of_cell(cell: &CellModel) -> Vec<Self> {
        let earlier = cell.earlier.iter().flat_map(CellModel::faults);
        let earlier = earlier.map(|fault| {
            let number = fault.cell.attempt;
            let (anchor, place) = (format!(".attempt-{number}"), format!(", attempt {number}"));
            Self::new(fault, &anchor, &place)
        });
        let last = cell.faults().into_iter();
        let last = last.map(|fault| Self::new(fault, "", ""));
        earlier.chain(last).collect()
    }

    /// The line for `fault`. `anchor` and `place` identify the attempt in the fields with these names; they are empty
    /// for the last attempt.
    fn new(fault: Fault<'_>, anchor: &str, place: &str) -> Self {
        let id = &fault.cell.summary.id;
        let (verdict, tone) = marks::verdict(fault.cell);
        Self {
            anchor: match fault.phase {
                Some(phase) => format!("{id}{anchor}.{}", phase.name()),
                None => id.to_string(),
            },
            place: fault.place() + place,
            verdict,
            tone: tone.name(),
            text: fault.sentence(),
        }
    }
}
