//! The details of cells. A model keeps a limited amount of them, so that it fits in memory however long the record is.
//!
//! Details are evidence, warnings, logs, diagnostics, and the counters of each node. Verdicts and tables don't need
//! them. If a cell's details no longer fit when the cell ends, only the outcome of each phase and its reason are kept.
//! The record still has everything.

use super::{CellModel, Notice, PhaseModel, PhaseOutcome};
use crate::event::{CellVerdict, CounterTable, Evidence, Failure, LogExcerpt, Severity};

/// How many bytes of details are kept for cells that passed or were skipped. The same number of bytes is kept for all
/// other cells.
const BUDGET: usize = 24 << 20;

/// How many rows of evidence a failure keeps if its details are dropped.
const EVIDENCE_KEPT: usize = 20;

/// The memory that is still free for details, in bytes.
#[derive(Clone)]
pub(super) struct Budget {
    passed: usize,
    others: usize,
    /// How many attempts lost their details.
    dropped: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(BUDGET)
    }
}

impl Budget {
    pub(super) const fn of(bytes: usize) -> Self {
        Self {
            passed: bytes,
            others: bytes,
            dropped: 0,
        }
    }

    /// Charges the budget for an attempt that has ended. If its details don't fit, drops them.
    pub(super) fn admit(&mut self, attempt: &mut CellModel) {
        let left = match attempt.verdict {
            CellVerdict::Passed | CellVerdict::Skipped => &mut self.passed,
            CellVerdict::Flaky
            | CellVerdict::Failed
            | CellVerdict::Error
            | CellVerdict::Interrupted => &mut self.others,
        };
        if let Some(rest) = left.checked_sub(size(attempt)) {
            *left = rest;
        } else {
            drop_details(attempt);
            self.dropped += 1;
        }
    }

    /// The notice that reports show if details were dropped.
    pub(super) fn notice(&self) -> Option<Notice> {
        let plural = if self.dropped == 1 { "" } else { "s" };
        (self.dropped > 0).then(|| Notice {
            severity: Severity::Info,
            text: format!(
                "the evidence and logs of {} attempt{plural} are too large for reports; they are only in the record",
                self.dropped
            ),
        })
    }
}

/// The approximate memory that the details of an attempt take, in bytes.
fn size(attempt: &CellModel) -> usize {
    let phases = attempt.phases.iter().map(size_of_phase);
    let counters = attempt.counters.iter();
    let nodes = counters.flat_map(|counters| counters.nodes.values());
    let nodes = nodes.flat_map(CounterTable::keys);
    let nodes = nodes.map(|name| size_of::<(String, u64)>() + text(name));
    let facts = attempt.facts.iter().map(|facts| texts(&facts.nodes));
    phases.sum::<usize>()
        + nodes.sum::<usize>()
        + facts.sum::<usize>()
        + logs(&attempt.quotes)
        + texts(&attempt.diagnostics)
}

fn drop_details(attempt: &mut CellModel) {
    attempt.quotes = Vec::new();
    attempt.diagnostics = Vec::new();
    if let Some(counters) = &mut attempt.counters {
        counters.nodes.clear();
    }
    if let Some(facts) = &mut attempt.facts {
        facts.nodes = Vec::new();
    }
    for phase in &mut attempt.phases {
        phase.details = None;
        if let PhaseOutcome::Failed(failure) = &mut phase.outcome {
            drop_details_of(failure);
        }
    }
}

fn drop_details_of(failure: &mut Failure) {
    failure.logs = Vec::new();
    failure.evidence.retain(|evidence| !evidence.holds);
    failure.evidence.truncate(EVIDENCE_KEPT);
    failure.evidence.shrink_to_fit();
}

fn size_of_phase(phase: &PhaseModel) -> usize {
    let failure = match &phase.outcome {
        PhaseOutcome::Failed(failure) => evidence(&failure.evidence) + logs(&failure.logs),
        PhaseOutcome::Passed | PhaseOutcome::Skipped(_) | PhaseOutcome::Interrupted(_) => 0,
    };
    let details = phase.details.as_ref().map_or(0, |details| {
        evidence(&details.evidence) + texts(&details.warnings) + logs(&details.logs)
    });
    failure + details
}

fn evidence(rows: &[Evidence]) -> usize {
    let row = |row: &Evidence| {
        let Evidence {
            node,
            subject,
            expected,
            seen,
            holds: _,
        } = row;
        let texts = [subject, expected, seen]
            .into_iter()
            .chain(node)
            .map(String::as_str);
        size_of::<Evidence>() + texts.map(text).sum::<usize>()
    };
    rows.iter().map(row).sum()
}

fn logs(logs: &[LogExcerpt]) -> usize {
    let log = |log: &LogExcerpt| size_of::<LogExcerpt>() + text(&log.source) + texts(&log.lines);
    logs.iter().map(log).sum()
}

fn texts(texts: &[String]) -> usize {
    let sizes = texts.iter().map(|it| size_of::<String>() + text(it));
    sizes.sum()
}

/// The memory that a text takes, including the allocator's overhead, in bytes.
fn text(text: &str) -> usize {
    const ADDED: usize = 16;
    text.len() + ADDED
}

#[cfg(test)]
mod tests {
    use super::super::ModelBuilder;
    use super::*;
    use crate::event::Event;
    use crate::record::{RunModel, verdict_of};
    use crate::report::fixture;

    fn folded(budget: Budget) -> RunModel {
        let mut builder = ModelBuilder::default();
        builder.budget = budget;
        for mut record in fixture::mixed() {
            if let Event::PhaseFinished { result, .. } = &mut record.event {
                result.evidence.push(Evidence::none_left("containers", &[]));
            }
            builder.apply(&record);
        }
        builder.finish()
    }

    /// The part of a model that must not depend on the budget.
    fn essence(run: &RunModel) -> Vec<(CellVerdict, Vec<String>, Vec<u64>)> {
        let cells = run.cells.iter().map(|cell| {
            let attempts = cell.attempts().flat_map(super::super::CellModel::faults);
            let sentences = attempts.map(|fault| fault.sentence() + &fault.kind());
            let durations = cell.phases.iter().map(|phase| phase.duration_ms);
            (cell.verdict, sentences.collect(), durations.collect())
        });
        cells.collect()
    }

    fn logs_of(run: &RunModel, verdict: CellVerdict) -> usize {
        let cells = run.cells.iter().filter(|cell| cell.verdict == verdict);
        let phases = cells.flat_map(|cell| &cell.phases);
        let failures = phases.filter_map(PhaseModel::failure);
        failures.map(|failure| logs(&failure.logs)).sum()
    }

    /// The rows of evidence of the cells that passed. A cell that hasn't ended keeps its details.
    fn rows_of_passed(run: &RunModel) -> usize {
        let passed = run
            .cells
            .iter()
            .filter(|cell| cell.verdict == CellVerdict::Passed);
        let phases = passed.flat_map(|cell| &cell.phases);
        let details = phases.filter_map(|phase| phase.details.as_ref());
        details.map(|details| details.evidence.len()).sum()
    }

    #[test]
    fn verdicts_and_reasons_need_no_details() {
        let (full, bare) = (folded(Budget::default()), folded(Budget::of(0)));
        assert!(rows_of_passed(&full) > 0);
        assert_eq!(rows_of_passed(&bare), 0);
        assert_eq!(logs_of(&bare, CellVerdict::Failed), 0);
        assert_eq!(essence(&bare), essence(&full));
        assert_eq!(verdict_of(&bare, false), verdict_of(&full, false));
        let added: Vec<_> = bare.notices[full.notices.len()..].iter().collect();
        let [notice] = added[..] else {
            panic!("{added:?}");
        };
        assert!(notice.text.contains("only in the record"), "{notice:?}");
    }

    #[test]
    fn passed_cells_do_not_use_the_budget_of_the_others() {
        let budget = Budget {
            passed: 0,
            ..Budget::default()
        };
        let (full, without) = (folded(Budget::default()), folded(budget));
        let failed = logs_of(&full, CellVerdict::Failed);
        assert!(failed > 0);
        assert_eq!(logs_of(&without, CellVerdict::Failed), failed);
        assert!(rows_of_passed(&without) < rows_of_passed(&full));
    }
}
