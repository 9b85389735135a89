//! The fold, in particular of incomplete and unusual records.

use super::*;
use crate::event::{AxisFacts, CommandFacts, Event, HostFacts, Symptom};
use crate::report::fixture::Mark;
use crate::report::fixture::{self, MIXED, Plan, Story};

/// The model of one cell with `story`, without the events that `unwanted` selects.
fn one_cell(story: Story, unwanted: fn(&Event) -> bool) -> CellModel {
    let mut records = fixture::killed(&[Plan("1.34", 1, "fast", false, story)]);
    records.retain(|record| !unwanted(&record.event));
    RunModel::new(&records).cells.remove(0)
}

#[test]
fn every_cell_and_phase_matches_the_table() {
    let run = RunModel::new(&fixture::mixed());
    assert_eq!(run.cells.len(), MIXED.len());
    for (plan, cell) in MIXED.iter().zip(&run.cells) {
        let id = plan.id();
        assert_eq!((&cell.summary.id, cell.verdict), (&id, plan.verdict()));
        for phase in &cell.phases {
            let mark = plan.mark(phase.phase);
            assert_eq!(Mark::of(phase), mark, "{id} {}", phase.phase);
        }
    }
    let tally = run.tally();
    assert_eq!((tally.passed, tally.flaky), (2, 1));
    assert_eq!((tally.failed, tally.errors), (1, 2));
    assert_eq!((tally.allowed, tally.skipped, tally.interrupted), (1, 1, 1));
    assert_eq!(tally.total(), MIXED.len());
}

#[test]
fn nodes_are_shown_without_their_common_prefix() {
    let mut cell = RunModel::new(&fixture::mixed()).cells.remove(0);
    let node = format!("{}-worker", cell.cluster.as_deref().unwrap());
    assert_eq!(cell.short_node(&node), "worker");
    assert_eq!(cell.short_node("frozen-worker"), "frozen-worker");
    let facts = cell.facts.as_mut().unwrap();
    facts.node_prefix = Some("frozen-".to_owned());
    assert_eq!(cell.short_node("frozen-worker"), "worker");
    assert_eq!(cell.short_node(&node), "worker");
}

#[test]
fn phases_start_within_their_cell() {
    let run = RunModel::new(&fixture::mixed());
    let starts = [1, 2, 3].map(|phase| run.cells[1].phases[phase].start_ms);
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
fn a_phase_that_was_not_reached_says_why() {
    let broken = Story::Fails(Phase::Cluster, Symptom::ClusterNotUp);
    let cut_off = Story::IsCutOffIn(Phase::Readiness);
    for (story, why) in [
        (cut_off, "the run ended before this phase"),
        (Story::IsSkipped, "not started: another cell failed"),
        (broken, "not reached"),
    ] {
        let cell = one_cell(story, |event| {
            matches!(event, Event::PhaseFinished { result, .. } if result.phase == Phase::Cleanup)
                || matches!(event, Event::PhaseStarted { phase, .. } if *phase == Phase::Cleanup)
        });
        let last = &cell.phases.last().unwrap().outcome;
        assert_eq!(*last, PhaseOutcome::Skipped(why.to_owned()));
    }
}

#[test]
fn an_interruption_between_phases_belongs_to_the_next_phase() {
    let cut_off = Story::IsCutOffIn(Phase::Readiness);
    let cell = one_cell(cut_off, |event| match event {
        Event::PhaseStarted { phase, .. } => *phase == Phase::Readiness,
        event => matches!(event, Event::PhaseProgress { .. }),
    });
    assert_eq!(cell.failed_phase().unwrap().phase, Phase::Readiness);
}

#[test]
fn a_failed_cell_always_has_a_fault() {
    let broken = Story::Fails(Phase::Cluster, Symptom::ClusterNotUp);
    let cell = one_cell(broken, |event| matches!(event, Event::PhaseFinished { .. }));
    assert_eq!(cell.verdict, CellVerdict::Error);
    let killed = one_cell(Story::Passes, |event| {
        matches!(event, Event::CellFinished { .. })
    });
    assert_eq!(killed.verdict, CellVerdict::Interrupted);
    let fault = killed.faults()[0];
    assert_eq!(fault.phase, None);
    let sentence = "the run ended while this cell was running";
    assert_eq!(fault.sentence(), sentence);
}

#[test]
fn each_attempt_has_the_form_of_a_cell() {
    let run = RunModel::new(&fixture::mixed());
    let [first] = &run.cells[8].earlier[..] else {
        panic!("{:?}", run.cells[8].earlier);
    };
    assert_eq!((first.attempt, run.cells[8].attempt), (1, 2));
    assert_eq!(first.verdict, CellVerdict::Failed);
    assert_eq!(first.failed_phase().unwrap().phase, Phase::Readiness);
    assert!(!first.diagnostics.is_empty() && run.cells[8].diagnostics.is_empty());
    assert!(run.cells[8].duration_ms > first.duration_ms);
}

/// The flaky cell's events up to and including the first one that `is_last` selects.
fn flaky_cell_until(is_last: fn(&Event) -> bool) -> CellModel {
    let mut records = fixture::killed(&MIXED[8..]);
    let end = records.iter().position(|record| is_last(&record.event));
    records.truncate(end.unwrap() + 1);
    RunModel::new(&records).cells.remove(0)
}

#[test]
fn a_run_that_was_killed_between_two_attempts_keeps_the_first() {
    let cell = flaky_cell_until(|event| matches!(event, Event::CellRetried { .. }));
    assert_eq!(cell.verdict, CellVerdict::Interrupted);
    assert_eq!((cell.attempt, cell.earlier.len()), (2, 1));
    assert_eq!(cell.duration_ms, cell.earlier[0].duration_ms);
    let fault = cell.faults()[0];
    assert_eq!(fault.sentence(), "the run ended before the next attempt");
}

#[test]
fn an_attempt_during_which_the_run_was_killed_is_dropped() {
    let mut records = fixture::killed(&MIXED[6..7]);
    let whole = fixture::killed(&[Plan("1.36", 3, "default", false, Story::Passes)]);
    records.extend(whole.into_iter().skip(1));
    let cell = RunModel::new(&records).cells.remove(0);
    assert_eq!(cell.verdict, CellVerdict::Passed);
    assert!(cell.earlier.is_empty() && cell.failed_phase().is_none());
}

/// `records` followed by those of a later session, which starts an hour later and repeats the sequence numbers.
fn resumed(mut records: Vec<Record>, later: &[Record]) -> Vec<Record> {
    let last = records.last().unwrap().clone();
    let Event::RunStarted { facts } = &records[0].event else {
        panic!("{:?}", records[0]);
    };
    let host = HostFacts {
        name: "other".to_owned(),
        ..facts.host.clone()
    };
    let facts = SessionFacts {
        token: "y8".to_owned(),
        runner: "0.1.0".to_owned(),
        jobs: 1,
        host,
    };
    let begin = later[0].at;
    let after = last.at + jiff::SignedDuration::from_hours(1);
    let mut later = later.to_vec();
    later[0].event = Event::RunResumed { facts };
    records.extend(later.into_iter().map(|record| Record {
        at: after + record.at.duration_since(begin),
        event: record.event,
        ..last.clone()
    }));
    records
}

#[test]
fn a_resumed_run_is_one_run_without_the_time_between_sessions() {
    let first = fixture::killed(&MIXED[5..7]);
    let second = fixture::killed(&[Plan("1.36", 3, "default", false, Story::Passes)]);
    let of = |records: &[Record]| RunModel::new(records).duration_ms;
    let sum = of(&first) + of(&second);
    let run = RunModel::new(&resumed(first, &second));
    assert_eq!(run.duration_ms, sum);
    let verdicts: Vec<_> = run.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Failed, CellVerdict::Passed]);
    let hosts: Vec<_> = run.cells.iter().map(|cell| cell.host.as_deref()).collect();
    assert_eq!(hosts, [Some("builder"), Some("other")]);
    assert_eq!(run.notices.len(), 1, "a repeated notice is added only once");
}

#[test]
fn a_cell_that_was_cut_off_ends_with_its_session() {
    let first = fixture::killed(&MIXED[6..7]);
    let alone = RunModel::new(&first).cells.remove(0);
    let second = fixture::killed(&MIXED[6..7]);
    let run = RunModel::new(&resumed(first, &second[..1]));
    assert_eq!(run.cells[0].verdict, CellVerdict::Interrupted);
    assert_eq!(run.cells[0].duration_ms, alone.duration_ms);
    assert_eq!(run.verdict, None);
}

#[test]
fn a_phase_may_fail_before_its_cell_was_started() {
    let broken = Story::Fails(Phase::Preflight, Symptom::ToolMissing);
    let cell = one_cell(broken, |event| matches!(event, Event::CellStarted { .. }));
    assert_eq!(cell.failed_phase().unwrap().phase, Phase::Preflight);
    assert_eq!(cell.started, None);
}

/// A notice at the time of `record`.
fn notice(record: &Record, text: &str) -> Record {
    Record {
        event: Event::Notice {
            severity: Severity::Info,
            text: text.to_owned(),
        },
        ..record.clone()
    }
}

#[test]
fn a_notice_after_the_end_of_the_run_is_dropped() {
    let mut records = fixture::mixed();
    let before = RunModel::new(&records).notices;
    let end = Record {
        event: Event::RunFinished {
            verdict: RunVerdict::Passed,
            duration_ms: 1,
        },
        ..records[0].clone()
    };
    let late = notice(&end, "the report was not written");
    records.extend([end, late]);
    assert_eq!(RunModel::new(&records).notices, before);
}

#[test]
fn all_text_of_a_cells_summary_is_cleaned() {
    let nasty = || fixture::NASTY_LINE.to_owned();
    let summary = CellSummary {
        kubernetes: nasty(),
        config: nasty(),
        axes: vec![AxisFacts {
            axis: nasty(),
            value: nasty(),
        }],
        tags: vec![nasty()],
        ..one_cell(Story::Passes, |_| false).summary
    };
    let mut record = fixture::mixed().remove(0);
    record.event = Event::CellsAdded {
        cells: vec![summary],
    };
    let text = format!("{:?}", RunModel::new(&[record]).cells[0].summary);
    assert_eq!(text.matches(fixture::CLEAN_LINE).count(), 5, "{text}");
}

#[test]
fn all_text_of_a_record_is_cleaned() {
    let mut records = fixture::mixed();
    let nasty = notice(&records[0], fixture::NASTY_LINE);
    records.push(nasty);
    let text = format!("{:?}", RunModel::new(&records));
    assert!(text.contains(fixture::CLEAN_LINE));
    assert!(!text.contains("\\u{1b}") && !text.contains("\\0"));
}

#[test]
fn commands_are_stages_after_their_phase() {
    let mut run = RunModel::new(&fixture::killed(&MIXED[..1]));
    let command = |name: &str, after| CommandFacts {
        name: name.to_owned(),
        after,
    };
    run.facts.as_mut().unwrap().commands = vec![
        command("second", Phase::Restart),
        command("first", Phase::Periodic),
        command("third", Phase::Restart),
    ];
    let stages = run.stages();
    let names = stages.iter().filter(|(_, name)| name.is_some());
    let expected = [
        (Phase::Periodic, Some("first")),
        (Phase::Restart, Some("second")),
        (Phase::Restart, Some("third")),
    ];
    assert!(names.eq(&expected), "{stages:?}");
    assert_eq!(stages.len(), Phase::ALL.len() + expected.len());
    assert!(stages.is_sorted_by_key(|(phase, name)| (*phase, name.is_some())));
}

#[test]
fn diagnostics_that_are_reported_twice_are_listed_once() {
    let mut records = fixture::mixed();
    let expected = RunModel::new(&records).cells;
    let is_it = |record: &Record| matches!(record.event, Event::Diagnostics { .. });
    let index = records.iter().position(is_it).unwrap();
    records.insert(index, records[index].clone());
    for (cell, expected) in RunModel::new(&records).cells.iter().zip(expected) {
        assert_eq!(cell.diagnostics, expected.diagnostics);
    }
}

#[test]
fn repetitions_are_counted_by_the_cell_that_they_repeat() {
    let mut run = RunModel::new(&fixture::killed(&MIXED[..4]));
    let repetitions = [(0, 1), (0, 2), (2, 1)].map(|(plan, number): (usize, _)| {
        let plan: &Plan = &MIXED[plan];
        (plan.id().repetition(number), number)
    });
    for (cell, (id, number)) in run.cells.iter_mut().zip(repetitions) {
        cell.summary.id = id;
        cell.summary.repetition = Some(number);
    }
    let repeated = run.repeated();
    let tally = |passed, failed| Tally {
        passed,
        failed,
        ..Tally::default()
    };
    let expected = [
        ("k8s-1.30-n1-default", tally(2, 0)),
        ("k8s-1.33-n3-fast", tally(0, 1)),
    ];
    assert_eq!(repeated, expected);
}
