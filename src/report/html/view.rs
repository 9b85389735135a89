//! What the page shows, as the template needs it: texts, classes and positions, nothing to compute.

use askama::Template;

use crate::event::{Evidence, Failure, LogTail, Severity};
use crate::matrix::{Counter, Phase};
use crate::report::marks::{self, Mark, Tone};
use crate::report::model::{CellModel, PhaseModel, PhaseOutcome, RunModel};
use crate::report::summary::counters::{self, CounterRow};
use crate::report::summary::times::{self, TimeRow};
use crate::report::text;

/// Nodes of one cell that get a row.
const NODES_SHOWN: usize = 50;
/// Lines of evidence of one phase, those that do not hold first.
const EVIDENCE_SHOWN: usize = 100;

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    verdict: &'static str,
    tone: &'static str,
    tally: String,
    duration: String,
    facts: Vec<(&'static str, String)>,
    notices: Vec<(&'static str, &'a str)>,
    failures: Vec<FailureView<'a>>,
    cell_column: &'static str,
    local: &'static str,
    phase_names: [&'static str; Phase::ALL.len()],
    legend: Vec<(String, &'static str)>,
    counter_names: Vec<&'static str>,
    reasons: Vec<ReasonView<'a>>,
    cells: Vec<CellView<'a>>,
    phase_times: Vec<TimeView<'a>>,
    step_times: Vec<TimeView<'a>>,
}

/// A red phase, in one line.
struct ReasonView<'a> {
    cell: &'a str,
    phase: &'static str,
    verdict: String,
    tone: &'static str,
    text: String,
}

struct CellView<'a> {
    id: &'a str,
    kubernetes: String,
    verdict: String,
    tone: &'static str,
    open: bool,
    duration: String,
    reason: Option<&'a str>,
    facts: Vec<(&'static str, String)>,
    phases: Vec<PhaseView<'a>>,
    counters: Vec<RowView>,
    expected: Option<Vec<String>>,
    more_nodes: usize,
    bars: Vec<BarView<'a>>,
    diagnostics: &'a [String],
    quotes: &'a [LogTail],
}

struct PhaseView<'a> {
    name: &'static str,
    mark: String,
    meaning: &'static str,
    tone: &'static str,
    open: bool,
    duration: String,
    note: Option<String>,
    failure: Option<FailureView<'a>>,
    warnings: &'a [String],
    evidence: Vec<EvidenceView<'a>>,
    more_evidence: usize,
}

struct FailureView<'a> {
    kind: String,
    message: &'a str,
    remedy: Option<&'a str>,
    logs: &'a [LogTail],
}

struct EvidenceView<'a> {
    node: String,
    evidence: &'a Evidence,
}

struct RowView {
    label: String,
    values: Vec<(String, bool)>,
}

/// A bar of the waterfall, in per cent of the cell's time.
struct BarView<'a> {
    name: &'a str,
    start: f64,
    width: f64,
    duration: String,
    is_step: bool,
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
            phase_names: Phase::ALL.map(Phase::name),
            legend: legend(),
            counter_names: Counter::all().map(short_counter).collect(),
            reasons: run.cells.iter().flat_map(reasons).collect(),
            cells: run
                .cells
                .iter()
                .map(|cell| CellView::new(run, cell))
                .collect(),
            phase_times: times::phases(run).iter().map(TimeView::new).collect(),
            step_times: times::steps(run).iter().map(TimeView::new).collect(),
        }
    }
}

/// The words of the matrix; a passed phase shows a number instead.
fn legend() -> Vec<(String, &'static str)> {
    let words = Mark::ALL.into_iter().filter(|mark| *mark != Mark::Passed);
    words.map(|mark| (mark.narrow(0), mark.meaning())).collect()
}

fn short_counter(counter: Counter) -> &'static str {
    counter.name().trim_end_matches("_count")
}

fn notices(run: &RunModel) -> Vec<(&'static str, &str)> {
    let one = |notice: &'_ crate::report::model::Notice| match notice.severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
    };
    let notices = run.notices.iter();
    notices
        .map(|notice| (one(notice), notice.text.as_str()))
        .collect()
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
        ("at once", facts.jobs.to_string()),
        (
            "host",
            format!("{} ({})", facts.host.name, text::machine(&facts.host)),
        ),
        ("tools", facts.host.tools.join(", ")),
        ("runner", facts.runner.clone()),
        (
            "began",
            run.started.map(|at| at.to_string()).unwrap_or_default(),
        ),
    ];
    if run.is_local() {
        list.push(("honestly", text::not_exercised(run)));
    }
    list.retain(|(_, value)| !value.is_empty());
    list
}

fn reasons(cell: &CellModel) -> impl Iterator<Item = ReasonView<'_>> {
    cell.phases.iter().filter_map(|phase| {
        let text = match &phase.outcome {
            PhaseOutcome::Failed(failure) => failure.message.clone(),
            PhaseOutcome::Interrupted(_) => note(cell, phase)?,
            PhaseOutcome::Passed | PhaseOutcome::Skipped(_) => return None,
        };
        Some(ReasonView {
            cell: cell.summary.id.as_str(),
            phase: phase.phase.name(),
            verdict: marks::verdict(cell),
            tone: marks::verdict_tone(cell).name(),
            text,
        })
    })
}

impl<'a> CellView<'a> {
    fn new(run: &RunModel, cell: &'a CellModel) -> Self {
        let nodes = counters::nodes(cell);
        let rows = counters::total(cell).into_iter();
        Self {
            id: cell.summary.id.as_str(),
            kubernetes: text::kubernetes(run, cell),
            verdict: marks::verdict(cell),
            tone: marks::verdict_tone(cell).name(),
            open: cell.is_red(),
            duration: text::cell_duration(cell),
            reason: cell.reason.as_deref(),
            facts: cell_facts(cell),
            phases: cell
                .phases
                .iter()
                .map(|phase| PhaseView::new(cell, phase))
                .collect(),
            counters: rows
                .chain(nodes.iter().take(NODES_SHOWN).cloned())
                .map(|row| RowView::new(&row))
                .collect(),
            expected: counters::expected_of_a_node(cell),
            more_nodes: nodes.len().saturating_sub(NODES_SHOWN),
            bars: bars(cell),
            diagnostics: &cell.diagnostics,
            quotes: &cell.quotes,
        }
    }
}

fn cell_facts(cell: &CellModel) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("nodes", cell.summary.nodes.to_string()),
        ("config", cell.summary.config.clone()),
        ("tags", cell.summary.tags.join(", ")),
        ("cluster", cell.cluster.clone().unwrap_or_default()),
    ];
    if let Some(facts) = &cell.facts {
        list.extend([
            ("agent", facts.agent.clone()),
            ("mock", facts.mock.clone()),
            ("address", facts.address.clone().unwrap_or_default()),
            ("tuning", facts.tuning.join(", ")),
        ]);
    }
    if cell.summary.allow_failure {
        list.push((
            "allowed to fail",
            "its result does not change the exit code".into(),
        ));
    }
    list.retain(|(_, value)| !value.is_empty());
    list
}

impl<'a> PhaseView<'a> {
    fn new(cell: &CellModel, phase: &'a PhaseModel) -> Self {
        let mark = Mark::of(phase);
        let mut evidence: Vec<_> = phase.all_evidence().collect();
        evidence.sort_by_key(|one| one.holds);
        let view = |evidence: &&'a Evidence| EvidenceView {
            node: text::node_name(cell, evidence.node.as_deref()),
            evidence,
        };
        Self {
            name: phase.phase.name(),
            mark: mark.narrow(phase.duration_ms),
            meaning: mark.meaning(),
            tone: mark.tone().name(),
            open: matches!(mark.tone(), Tone::Bad | Tone::Warning),
            duration: text::duration(phase.duration_ms),
            note: note(cell, phase),
            failure: phase.failure().map(FailureView::new),
            warnings: &phase.warnings,
            evidence: evidence.iter().take(EVIDENCE_SHOWN).map(view).collect(),
            more_evidence: evidence.len().saturating_sub(EVIDENCE_SHOWN),
        }
    }
}

/// Why a phase has no result of its own.
fn note(cell: &CellModel, phase: &PhaseModel) -> Option<String> {
    match &phase.outcome {
        PhaseOutcome::Passed | PhaseOutcome::Failed(_) => None,
        PhaseOutcome::Skipped(reason) => Some(reason.clone()),
        PhaseOutcome::Interrupted(last_words) => {
            let reason = cell.reason.as_deref().unwrap_or("interrupted");
            let last_words = last_words.as_deref().map(|text| format!(": {text}"));
            Some(format!("{reason}{}", last_words.unwrap_or_default()))
        }
    }
}

impl<'a> FailureView<'a> {
    fn new(failure: &'a Failure) -> Self {
        Self {
            kind: format!("{}: {}", failure.class(), failure.symptom),
            message: &failure.message,
            remedy: failure.remedy.as_deref(),
            logs: &failure.logs,
        }
    }
}

impl RowView {
    fn new(row: &CounterRow) -> Self {
        let values = row.values.iter();
        Self {
            label: row.label.clone(),
            values: values
                .map(|value| (value.text(), value.unmet.is_some()))
                .collect(),
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

/// The phases one after another, then the steps where they were.
fn bars(cell: &CellModel) -> Vec<BarView<'_>> {
    let mut spans = Vec::new();
    let mut at = 0;
    for phase in cell.phases.iter().filter(|phase| phase.duration_ms > 0) {
        spans.push((
            phase.phase.name(),
            phase.start_ms.unwrap_or(at),
            phase.duration_ms,
            false,
        ));
        at += phase.duration_ms;
    }
    let steps = cell.steps.iter();
    spans.extend(steps.map(|step| (step.name.as_str(), step.start_ms, step.duration_ms, true)));
    let end = spans
        .iter()
        .map(|(_, start, duration, _)| start + duration)
        .max();
    let scale = percent_scale(end.unwrap_or(0).max(cell.duration_ms));
    let bar = |(name, start, duration, is_step)| BarView {
        name,
        start: scale(start),
        width: scale(duration),
        duration: text::duration(duration),
        is_step,
    };
    spans.into_iter().map(bar).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a position on a page, not a number to compute with"
)]
fn percent_scale(whole: u64) -> impl Fn(u64) -> f64 {
    move |part| (part as f64 * 1000.0 / whole.max(1) as f64).round() / 10.0
}
