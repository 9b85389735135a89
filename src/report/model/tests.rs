//! The fold, above all of records that are not as a whole run leaves them.

use super::*;
use crate::event::{Event, Record};
use crate::report::fixture::{self, MIXED, Plan, Story};
use crate::report::marks::Mark;

/// The records of one cell with that story, those left out that `unwanted` names.
fn one_cell(story: Story, unwanted: fn(&Event) -> bool) -> CellModel {
    let mut records = fixture::killed(&[Plan("1.34", 1, "fast", false, story)]);
    records.retain(|record| !unwanted(&record.event));
    RunModel::new(&records).cells.remove(0)
}

#[test]
fn every_cell_and_phase_is_what_the_table_says() {
    let run = RunModel::new(&fixture::mixed());
    assert_eq!(run.cells.len(), MIXED.len());
    for (plan, cell) in MIXED.iter().zip(&run.cells) {
        assert_eq!(
            (&cell.summary.id, cell.verdict),
            (&plan.id(), plan.verdict())
        );
        for phase in &cell.phases {
            assert_eq!(
                Mark::of(phase),
                plan.mark(phase.phase),
                "{} {}",
                plan.id(),
                phase.phase
            );
        }
    }
    let tally = run.tally();
    assert_eq!((tally.passed, tally.failed, tally.broken), (2, 1, 2));
    assert_eq!((tally.allowed, tally.skipped, tally.interrupted), (1, 1, 1));
}

#[test]
fn phases_are_placed_in_their_cell() {
    let run = RunModel::new(&fixture::mixed());
    let starts: Vec<_> = run.cells[1].phases[1..4]
        .iter()
        .map(|phase| phase.start_ms)
        .collect();
    assert_eq!(starts, [Some(0), Some(1200), Some(3600)]);
}

#[test]
fn an_empty_record_is_an_empty_run() {
    assert_eq!(RunModel::new(&[]), RunModel::default());
}

#[test]
fn a_cell_that_was_not_reached_is_skipped() {
    let records = fixture::killed(&MIXED[..2]);
    let run = RunModel::new(&records[..1]);
    assert_eq!(run.cells[1].verdict, CellVerdict::Skipped);
    assert!(run.cells[1].faults().is_empty());
}

#[test]
fn an_interruption_that_cut_no_phase_is_told_in_the_next() {
    let cut = Story::IsCutOffIn(Phase::Readiness);
    let cell = one_cell(cut, |event| {
        matches!(
            event,
            Event::PhaseStarted {
                phase: Phase::Readiness,
                ..
            } | Event::PhaseProgress { .. }
        )
    });
    assert_eq!(cell.red_phase().unwrap().phase, Phase::Readiness);
}

#[test]
fn a_red_cell_is_never_without_a_fault() {
    let broken = Story::Fails(Phase::Cluster, crate::event::Symptom::ClusterNotUp);
    let cell = one_cell(broken, |event| matches!(event, Event::PhaseFinished { .. }));
    assert_eq!(cell.verdict, CellVerdict::Broken);
    let killed = one_cell(Story::Passes, |event| {
        matches!(event, Event::CellFinished { .. })
    });
    assert_eq!(killed.verdict, CellVerdict::Interrupted);
    let fault = killed.faults()[0];
    assert_eq!(fault.phase, None);
    assert_eq!(fault.sentence(), "the run ended in the middle of it");
}

#[test]
fn a_phase_may_fail_before_its_cell_was_started() {
    let broken = Story::Fails(Phase::Preflight, crate::event::Symptom::ToolMissing);
    let cell = one_cell(broken, |event| matches!(event, Event::CellStarted { .. }));
    assert_eq!(cell.red_phase().unwrap().phase, Phase::Preflight);
    assert_eq!(cell.started, None);
}

#[test]
fn no_text_of_a_record_reaches_a_report_uncleaned() {
    let mut records: Vec<Record> = fixture::mixed();
    records.extend(records.last().cloned().map(|last| Record {
        event: Event::Notice {
            severity: Severity::Info,
            text: fixture::NASTY_LINE.to_owned(),
        },
        ..last
    }));
    let text = format!("{:?}", RunModel::new(&records));
    assert!(text.contains(fixture::CLEAN_LINE));
    assert!(!text.contains("\\u{1b}") && !text.contains("\\0"));
}
