//! One cell on the page.

use crate::event::Evidence;
use crate::record::model::{CellModel, Fault, PhaseModel, PhaseOutcome, RunModel};
use crate::report::marks::{self, Mark, Tone};
use crate::report::summary::counters::{self, CounterRow};
use crate::report::text;

/// The maximum number of nodes per cell that get a row.
const NODES_SHOWN: usize = 50;
/// The maximum number of rows of evidence per phase; failed checks come first.
const EVIDENCE_SHOWN: usize = 100;

/// A cell: its last attempt, and the earlier ones.
pub(super) struct CellView<'a> {
    pub(super) id: &'a str,
    pub(super) kubernetes: String,
    pub(super) last: AttemptView<'a>,
    pub(super) earlier: Vec<AttemptView<'a>>,
}

/// One attempt at a cell.
pub(super) struct AttemptView<'a> {
    /// The prefix of the anchors of the attempt's phases.
    pub(super) anchor: String,
    pub(super) cell: &'a CellModel,
    pub(super) verdict: String,
    pub(super) tone: &'static str,
    pub(super) duration: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) phases: Vec<PhaseView<'a>>,
    pub(super) counters: Vec<CounterRow>,
    pub(super) expected: Option<Vec<String>>,
    pub(super) more_nodes: Option<String>,
    pub(super) bars: Vec<BarView<'a>>,
}

pub(super) struct PhaseView<'a> {
    pub(super) model: &'a PhaseModel,
    pub(super) mark: Mark,
    /// The mark in the table.
    pub(super) word: String,
    pub(super) open: bool,
    pub(super) duration: String,
    pub(super) note: Option<String>,
    /// Each check, with its row of the table.
    pub(super) evidence: Vec<(&'a Evidence, [String; 5])>,
    pub(super) more_evidence: usize,
}

/// A bar of the waterfall, in percent of the cell's duration.
pub(super) struct BarView<'a> {
    pub(super) name: &'a str,
    pub(super) start: f64,
    pub(super) width: f64,
    pub(super) duration: String,
    pub(super) is_step: bool,
}

impl<'a> CellView<'a> {
    pub(super) fn new(run: &RunModel, cell: &'a CellModel, columns: &[&str]) -> Self {
        let id = cell.summary.id.as_str();
        let earlier = cell.earlier.iter().map(|attempt| {
            let anchor = format!("{id}.attempt-{}", attempt.attempt);
            AttemptView::new(attempt, anchor, columns)
        });
        Self {
            id,
            kubernetes: text::kubernetes(run, cell),
            last: AttemptView::new(cell, id.to_owned(), columns),
            earlier: earlier.collect(),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn new(cell: &'a CellModel, anchor: String, columns: &[&str]) -> Self {
        let nodes = counters::nodes(cell, columns);
        let hidden = nodes.len().saturating_sub(NODES_SHOWN);
        let nodes = nodes.into_iter().take(NODES_SHOWN);
        let total = counters::total(cell, columns).into_iter();
        let phases = cell.phases.iter();
        let (verdict, tone) = marks::verdict(cell);
        Self {
            anchor,
            cell,
            verdict,
            tone: tone.name(),
            duration: text::cell_duration(cell),
            facts: cell_facts(cell),
            phases: phases.map(|phase| PhaseView::new(cell, phase)).collect(),
            counters: total.chain(nodes).collect(),
            expected: counters::expected_of_a_node(cell, columns),
            more_nodes: (hidden > 0).then(|| text::counted(hidden, "more node")),
            bars: bars(cell),
        }
    }
}

fn cell_facts(cell: &CellModel) -> Vec<(&'static str, String)> {
    let load = cell.load.as_ref().map(text::load);
    let mut list = vec![
        ("nodes", cell.summary.nodes.to_string()),
        ("config", cell.summary.config.clone()),
        ("axes", text::axes(cell).join(", ")),
        ("tags", cell.summary.tags.join(", ")),
        ("cluster", cell.cluster.clone().unwrap_or_default()),
        ("host", cell.host.clone().unwrap_or_default()),
        ("machine at the end", load.unwrap_or_default()),
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
        list.push(("allowed to fail", text::ALLOWED_TO_FAIL.to_owned()));
    }
    list.retain(|(_, value)| !value.is_empty());
    list
}

impl<'a> PhaseView<'a> {
    fn new(cell: &CellModel, phase: &'a PhaseModel) -> Self {
        let mark = Mark::of(phase);
        let mut evidence: Vec<_> = phase.all_evidence().collect();
        evidence.sort_by_key(|one| one.holds);
        let row = |one: &&'a Evidence| (*one, text::evidence_row(cell, one));
        Self {
            model: phase,
            mark,
            word: mark.narrow(phase.duration_ms),
            open: matches!(mark.tone(), Tone::Bad | Tone::Warning),
            duration: text::duration(phase.duration_ms),
            note: note(cell, phase),
            evidence: evidence.iter().take(EVIDENCE_SHOWN).map(row).collect(),
            more_evidence: evidence.len().saturating_sub(EVIDENCE_SHOWN),
        }
    }
}

/// Why a phase has no result.
fn note(cell: &CellModel, phase: &PhaseModel) -> Option<String> {
    match &phase.outcome {
        PhaseOutcome::Passed | PhaseOutcome::Failed(_) => None,
        PhaseOutcome::Skipped(reason) => Some(reason.clone()),
        PhaseOutcome::Interrupted(_) => {
            let phase = Some(phase);
            Some(Fault { cell, phase }.sentence())
        }
    }
}

/// The phases in sequence, followed by the steps at their times.
fn bars(cell: &CellModel) -> Vec<BarView<'_>> {
    let mut spans = Vec::new();
    let mut at = 0;
    for phase in cell.phases.iter().filter(|phase| phase.duration_ms > 0) {
        let start = phase.start_ms.unwrap_or(at);
        spans.push((phase.name(), start, phase.duration_ms, false));
        at = at.saturating_add(phase.duration_ms);
    }
    let steps = cell.steps.iter();
    spans.extend(steps.map(|step| (step.name.as_str(), step.start_ms, step.duration_ms, true)));
    let ends = spans.iter();
    let ends = ends.map(|(_, start, duration, _)| start.saturating_add(*duration));
    let scale = percent_scale(ends.max().unwrap_or(0).max(cell.duration_ms));
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
