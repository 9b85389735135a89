//! Merged runs, compared with the runs that they consist of.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::*;
use crate::event::{
    CellVerdict, CommandFacts, Event, FlakyResult, Record, RunFacts, RunVerdict, SessionFacts,
    Severity, ShardFacts, Termination,
};
use crate::matrix::{CellId, Phase};
use crate::record::{FILE_NAME, RecordWriter, RunModel, Sink, verdict_of};
use crate::report::console::{Console, Detail};
use crate::report::fixture::{self, MIXED, Plan as CellPlan, Story};
use crate::report::write::Report;

/// A run of `plans` in its own folder in `place`, started `after` seconds later, with `change` applied to its facts.
fn run(
    place: &Path,
    name: &str,
    after: i64,
    plans: &[CellPlan],
    change: fn(&mut RunFacts),
) -> PathBuf {
    let mut records = fixture::killed(plans);
    for record in &mut records {
        record.at += SignedDuration::from_secs(after);
        if let Event::RunStarted { facts } = &mut record.event {
            name.clone_into(&mut facts.run);
            facts.host.name = format!("host of {name}");
            change(facts);
        }
    }
    let verdict = RunVerdict::Passed;
    let last = records[records.len() - 1].clone();
    records.push(Record {
        event: Event::RunFinished {
            verdict,
            duration_ms: 60_000,
        },
        ..last
    });
    written(place, name, &records)
}

fn with_story(plan: CellPlan, story: Story) -> CellPlan {
    CellPlan(plan.0, plan.1, plan.2, plan.3, story)
}

/// A run whose second cell fails, and a rerun of that cell with `story`.
fn failed_and_rerun(place: &Path, story: Story) -> [PathBuf; 2] {
    [
        run(place, "first", 0, &[MIXED[0], MIXED[2]], |_| ()),
        run(
            place,
            "again",
            900,
            &[with_story(MIXED[2], story)],
            |facts| {
                facts.rerun_of = Some("first".to_owned());
            },
        ),
    ]
}

fn written(place: &Path, name: &str, records: &[Record]) -> PathBuf {
    let folder = place.join(name);
    fs::create_dir(&folder).unwrap();
    let mut writer = RecordWriter::create(&folder).unwrap();
    for record in records {
        writer.on(record).unwrap();
    }
    folder
}

fn merged(folders: &[&PathBuf]) -> Result<(Plan, Vec<Record>), MergeError> {
    let parts: Result<Vec<_>, _> = folders.iter().map(|folder| Part::read(folder)).collect();
    let mut parts = without_earlier_merges(parts?);
    let plan = Plan::new(&mut parts)?;
    let records = MergedEvents::open(&parts, &plan)?.collect::<Result<_, _>>()?;
    Ok((plan, records))
}

/// Renames `cell` in the record in `folder`.
fn rename(folder: &Path, cell: &CellId, new: &CellId) {
    let record = folder.join(FILE_NAME);
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(cell.as_str(), new.as_str())).unwrap();
}

fn shard(index: u32, digest: &str) -> ShardFacts {
    ShardFacts {
        index,
        count: 2,
        cells: 6,
        digest: digest.to_owned(),
    }
}

fn warnings(plan: &Plan) -> Vec<&str> {
    let notices = plan.notices.iter();
    notices
        .filter(|(severity, _)| *severity == Severity::Warning)
        .map(|(_, text)| text.as_str())
        .collect()
}

#[test]
fn shards_become_one_run_whatever_their_order() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..3], |facts| {
        facts.shard = Some(shard(1, "a"));
    });
    let two = run(place.path(), "two", 5, &MIXED[3..6], |facts| {
        facts.shard = Some(shard(2, "a"));
    });
    let (plan, records) = merged(&[&two, &one]).unwrap();
    assert_eq!(merged(&[&one, &two]).unwrap().1, records);
    assert!(
        plan.is_whole && plan.notices.is_empty(),
        "{:?}",
        plan.notices
    );
    assert_eq!(plan.duration_ms, 65_000, "what ran at once counts once");
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (0..records.len() as u64).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.at));

    let run = RunModel::new(&records);
    let whole = RunModel::new(&fixture::killed(&MIXED[..6]));
    assert_eq!(run.cells.len(), 6);
    for (cell, alone) in run.cells.iter().zip(&whole.cells) {
        assert_eq!(
            (&cell.summary, cell.verdict),
            (&alone.summary, alone.verdict)
        );
        assert_eq!(cell.phases, alone.phases);
    }
    let xml = Report::Junit.render(&run);
    assert!(xml.contains("hostname=\"host of one\"") && xml.contains("hostname=\"host of two\""));
}

#[test]
fn a_shard_that_is_missing_or_belongs_to_another_selection_is_reported() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..1], |facts| {
        facts.shard = Some(shard(1, "a"));
    });
    let other = run(place.path(), "other", 5, &MIXED[1..2], |facts| {
        facts.shard = Some(shard(2, "b"));
    });
    let (plan, _) = merged(&[&one]).unwrap();
    assert_eq!(warnings(&plan), ["shards are missing: 2/2"]);
    assert!(!plan.is_whole);
    let alone = run(place.path(), "alone", 5, &MIXED[1..2], |facts| {
        let cells = 1;
        facts.shard = Some(ShardFacts {
            cells,
            ..shard(1, "a")
        });
    });
    let (plan, _) = merged(&[&alone]).unwrap();
    assert!(plan.is_whole, "the second shard of one cell is empty");
    let (plan, _) = merged(&[&one, &other]).unwrap();
    assert!(warnings(&plan)[0].starts_with("the shards belong to different selections"));
    assert!(!plan.is_whole);
}

#[test]
fn only_a_rerun_of_the_same_run_may_repeat_a_cell() {
    let place = tempfile::tempdir().unwrap();
    let [first, again] = failed_and_rerun(place.path(), Story::Passes);
    let (plan, records) = merged(&[&again, &first]).unwrap();
    let run_of_both = RunModel::new(&records);
    let verdicts: Vec<_> = run_of_both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Passed; 2]);
    let starts = records
        .iter()
        .filter(|record| matches!(record.event, Event::CellStarted { .. }));
    assert_eq!(starts.count(), 2, "one start per cell");
    assert_eq!(run_of_both.cells[1].host.as_deref(), Some("host of again"));
    let (severity, text) = &plan.notices[0];
    assert_eq!(*severity, Severity::Info);
    assert_eq!(
        text,
        "the rerun again replaces the results of 1 cell of first"
    );
    assert!(plan.is_whole);

    let passes = with_story(MIXED[2], Story::Passes);
    let stranger = run(place.path(), "stranger", 900, &[passes], |_| ());
    let of_another = run(place.path(), "of another", 900, &[passes], |facts| {
        facts.rerun_of = Some("another".to_owned());
    });
    for other in [stranger, of_another] {
        let error = merged(&[&first, &other]).unwrap_err().to_string();
        let end = format!("first and {}", other.display());
        assert!(error.ends_with(&end), "{error}");
    }
}

#[test]
fn a_rerun_that_skips_a_cell_does_not_replace_its_result() {
    let place = tempfile::tempdir().unwrap();
    let [first, again] = failed_and_rerun(place.path(), Story::IsSkipped);
    let (plan, records) = merged(&[&first, &again]).unwrap();
    let both = RunModel::new(&records);
    assert_eq!(both.cells[1].verdict, CellVerdict::Failed);
    assert_eq!(both.cells[1].host.as_deref(), Some("host of first"));
    assert!(plan.notices.is_empty(), "{:?}", plan.notices);
}

#[test]
fn a_rerun_of_a_cell_replaces_all_its_repetitions_and_its_own_repetitions_all_count() {
    let place = tempfile::tempdir().unwrap();
    let (id, passes) = (MIXED[2].id(), with_story(MIXED[2], Story::Passes));
    let second = id.repetition(2);
    let rerun = |name, plans: &[CellPlan]| {
        let rerun = run(place.path(), name, 900, plans, |facts| {
            facts.rerun_of = Some("first".to_owned());
        });
        rename(&rerun, &MIXED[3].id(), &second);
        rerun
    };
    let first = run(place.path(), "first", 0, &MIXED[2..4], |_| ());
    rename(&first, &MIXED[3].id(), &second);

    let (plan, records) = merged(&[&first, &rerun("again", &[passes])]).unwrap();
    let both = RunModel::new(&records);
    let verdicts: Vec<_> = both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Passed]);
    assert_eq!(verdict_of(&both, plan.is_whole), RunVerdict::Passed);
    let text = "the rerun again replaces the results of 1 cell of first";
    assert_eq!(plan.notices, [(Severity::Info, text.to_owned())]);

    let (_, records) = merged(&[&first, &rerun("twice", &[passes, MIXED[3]])]).unwrap();
    let both = RunModel::new(&records);
    let verdicts: Vec<_> = both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Passed, CellVerdict::Error]);
}

#[test]
fn an_earlier_merge_of_the_same_runs_is_ignored() {
    let place = tempfile::tempdir().unwrap();
    let first = run(place.path(), "first", 0, &[MIXED[0], MIXED[2]], |_| ());
    let other = run(place.path(), "other", 5, &MIXED[3..4], |_| ());
    let (_, mut records) = merged(&[&first, &other]).unwrap();
    let Event::RunStarted { facts } = &mut records[0].event else {
        panic!("{:?}", records[0]);
    };
    "once".clone_into(&mut facts.run);
    let once = written(place.path(), "once", &records);
    let all = merged(&[&once, &other, &first]).unwrap();
    let runs = merged(&[&first, &other]).unwrap();
    assert_eq!((all.0.facts, all.1), (runs.0.facts, runs.1));

    let passes = [MIXED[2], MIXED[3]].map(|plan| with_story(plan, Story::Passes));
    let again = run(place.path(), "again", 900, &passes, |facts| {
        facts.rerun_of = Some("once".to_owned());
    });
    for folders in [&[&once, &again][..], &[&first, &other, &again, &once]] {
        let (plan, records) = merged(folders).unwrap();
        let verdict = verdict_of(&RunModel::new(&records), plan.is_whole);
        assert_eq!(verdict, RunVerdict::Passed);
    }
    let error = merged(&[&first, &once]).unwrap_err();
    assert!(
        matches!(error, MergeError::DuplicateCell { .. }),
        "the other run is only in the merge: {error}"
    );
}

#[test]
fn a_signal_and_an_end_before_a_run_was_resumed_no_longer_count() {
    let place = tempfile::tempdir().unwrap();
    let mut records = fixture::killed(&[MIXED[6]]);
    let last = records[records.len() - 1].clone();
    let cell = MIXED[6].id();
    let then = |seconds, event| Record {
        at: last.at + SignedDuration::from_secs(seconds),
        event,
        ..last.clone()
    };
    let Event::RunStarted { facts } = &records[0].event else {
        panic!("{:?}", records[0]);
    };
    let session = SessionFacts {
        token: "later".to_owned(),
        runner: facts.runner.clone(),
        jobs: 1,
        host: facts.host.clone(),
    };
    records.extend([
        then(
            1,
            Event::Interrupted {
                by: Termination::Interrupt,
            },
        ),
        then(
            2,
            Event::CellFinished {
                cell: cell.clone(),
                verdict: CellVerdict::Interrupted,
                reason: None,
                duration_ms: 1000,
                load: None,
            },
        ),
        then(60, Event::RunResumed { facts: session }),
        then(
            61,
            Event::CellStarted {
                cell: cell.clone(),
                cluster: "c".to_owned(),
                attempt: 1,
            },
        ),
        then(
            63,
            Event::PhaseStarted {
                cell,
                phase: Phase::Cluster,
                command: None,
            },
        ),
    ]);
    let killed = written(place.path(), "killed", &records);
    let later = run(place.path(), "later", 900, &MIXED[..1], |_| ());
    let (plan, records) = merged(&[&killed, &later]).unwrap();
    let both = RunModel::new(&records);
    assert_eq!(both.signal, None);
    assert_eq!(
        verdict_of(&both, plan.is_whole),
        RunVerdict::InfrastructureFailure
    );
    let cut_off = &both.cells[1];
    assert_eq!(cut_off.verdict, CellVerdict::Interrupted);
    assert_eq!(cut_off.duration_ms, 2000, "up to the end of its own run");
}

#[test]
fn a_cell_that_was_cut_off_counts_until_it_has_run_again() {
    let place = tempfile::tempdir().unwrap();
    let cut = MIXED[6];
    let mut records = fixture::killed(&[MIXED[0], cut]);
    let last = records[records.len() - 1].clone();
    let by = Termination::Interrupt;
    records.push(Record {
        event: Event::Interrupted { by },
        ..last
    });
    let first = written(place.path(), "first", &records);
    let (plan, joined) = merged(&[&first]).unwrap();
    assert!(!plan.is_whole);
    assert!(warnings(&plan)[0].ends_with("was killed before it finished"));
    let alone = RunModel::new(&joined);
    assert_eq!(alone.signal, Some(by));
    assert_eq!(alone.cells[1].verdict, CellVerdict::Interrupted);
    assert_eq!(
        alone.cells[1].failed_phase().unwrap().phase,
        Phase::Readiness
    );
    let ends = |records: &[Record]| -> usize {
        let is_end = |record: &&Record| matches!(&record.event, Event::CellFinished { cell, .. } if *cell == cut.id());
        records.iter().filter(is_end).count()
    };
    assert_eq!((ends(&records), ends(&joined)), (0, 1));

    // Merging the merged run again preserves this end.
    let mut records = joined;
    let last = records[records.len() - 1].clone();
    records.push(Record {
        event: Event::RunFinished {
            verdict: RunVerdict::InfrastructureFailure,
            duration_ms: 60_000,
        },
        ..last
    });
    let once = written(place.path(), "merged-once", &records);
    let (plan, _) = merged(&[&once]).unwrap();
    assert!(!plan.is_whole);

    let passes = with_story(cut, Story::Passes);
    let again = run(place.path(), "again", 900, &[passes], |facts| {
        facts.rerun_of = Some("20260102-030405-x7".to_owned());
    });
    let (plan, joined) = merged(&[&first, &again]).unwrap();
    assert!(plan.is_whole);
    let both = RunModel::new(&joined);
    assert_eq!(both.signal, None);
    assert_eq!(both.cells[1].verdict, CellVerdict::Passed);
}

#[test]
fn cells_that_were_added_during_a_run_are_counted_once() {
    let place = tempfile::tempdir().unwrap();
    let mut records = fixture::killed(&MIXED[..2]);
    let Event::RunStarted { facts } = &mut records[0].event else {
        panic!("{:?}", records[0]);
    };
    let cells = facts.cells.split_off(1);
    let added = Record {
        event: Event::CellsAdded { cells },
        ..records[0].clone()
    };
    records.insert(1, added);
    let part = written(place.path(), "part", &records);
    let (_, joined) = merged(&[&part]).unwrap();
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, false, Detail::Cells);
    for record in &joined {
        console.on(record).unwrap();
    }
    let lines = String::from_utf8(out).unwrap();
    assert!(lines.contains("(2/2 cells)"), "{lines}");
}

#[test]
fn every_repetition_by_a_test_runner_counts() {
    let place = tempfile::tempdir().unwrap();
    let (id, passes) = (MIXED[2].id(), with_story(MIXED[2], Story::Passes));
    let first = run(place.path(), "first", 0, &MIXED[2..3], |_| ());
    let second = run(place.path(), "second", 900, &[passes], |_| ());
    rename(&second, &id, &id.repetition(2));
    let (plan, records) = merged(&[&second, &first]).unwrap();
    let both = RunModel::new(&records);
    let verdicts: Vec<_> = both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Failed, CellVerdict::Passed]);
    assert_eq!(verdict_of(&both, plan.is_whole), RunVerdict::ProductFailure);
    let repeated = both.repeated();
    let [(cell, tally)] = repeated[..] else {
        panic!("{repeated:?}");
    };
    assert_eq!((cell, tally.passed, tally.failed), (id.as_str(), 1, 1));
}

#[test]
fn the_processes_of_one_run_are_one_part() {
    let place = tempfile::tempdir().unwrap();
    let of_one = |facts: &mut RunFacts| {
        facts.run = "nextest-1".to_owned();
        facts.host.name = "builder".to_owned();
    };
    let one = run(place.path(), "one", 0, &MIXED[..1], of_one);
    let two = run(place.path(), "two", 0, &MIXED[1..2], of_one);
    let (plan, _) = merged(&[&one, &two]).unwrap();
    let [part] = &plan.facts.parts[..] else {
        panic!("{:?}", plan.facts.parts);
    };
    assert_eq!((part.cells.len(), part.duration_ms), (2, 120_000));
}

#[test]
fn runs_of_different_providers_are_not_merged() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..1], |_| ());
    let two = run(place.path(), "two", 0, &MIXED[1..2], |facts| {
        facts.provider = "local".to_owned();
    });
    let error = merged(&[&one, &two]).unwrap_err();
    assert!(matches!(error, MergeError::Providers { .. }), "{error}");
}

#[test]
fn huge_shard_numbers_are_handled_without_allocating() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..1], |facts| {
        let mut last = shard(7, "a");
        (last.count, last.cells) = (u32::MAX, usize::MAX);
        facts.shard = Some(last);
    });
    let (plan, _) = merged(&[&one]).unwrap();
    let [warning] = &warnings(&plan)[..] else {
        panic!("{:?}", warnings(&plan));
    };
    assert!(
        warning.starts_with("shards are missing: 1/4294967295, 2/"),
        "{warning}"
    );
    assert!(warning.ends_with(" and 4294967274 more"), "{warning}");
}

fn command(name: &str) -> CommandFacts {
    CommandFacts {
        name: name.to_owned(),
        after: Phase::Periodic,
    }
}

#[test]
fn the_facts_of_a_merged_run_cover_all_machines_and_commands() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..1], |facts| {
        facts.host.cpus = 2;
        facts.host.memory_bytes = 100;
        facts.host.tools = vec!["Docker 29".to_owned(), "kind 0.32".to_owned()];
        facts.commands = vec![command("first"), command("both")];
    });
    let two = run(place.path(), "two", 5, &MIXED[1..2], |facts| {
        facts.flaky_result = FlakyResult::Fail;
        facts.host.cpus = 6;
        facts.host.memory_bytes = 10;
        facts.host.tools = vec!["kind 0.32".to_owned(), "Docker 28".to_owned()];
        facts.commands = vec![command("both"), command("second")];
    });
    // The same machine again: its processors count once.
    let three = run(place.path(), "three", 9, &MIXED[2..3], |facts| {
        facts.host.name = "host of two".to_owned();
        facts.host.cpus = 6;
    });
    let (plan, _) = merged(&[&one, &two, &three]).unwrap();
    let host = &plan.facts.host;
    assert_eq!(host.name, "host of one, host of two");
    assert_eq!((host.cpus, host.memory_bytes), (8, 110));
    assert_eq!(host.tools, ["Docker 29", "kind 0.32", "Docker 28"]);
    assert_eq!(host.platform, "linux x86_64");
    let commands = ["first", "both", "second"].map(command);
    assert_eq!(plan.facts.commands, commands);

    assert_eq!(plan.facts.flaky_result, FlakyResult::Fail);
    let lenient = merged(&[&one, &three]).unwrap().0;
    assert_eq!(lenient.facts.flaky_result, FlakyResult::Pass);

    let id = |folders: &[&PathBuf]| merged(folders).unwrap().0.facts.run;
    assert_eq!(id(&[&three, &two, &one]), plan.facts.run);
    assert_ne!(id(&[&one, &two]), plan.facts.run);
    assert!(plan.facts.run.starts_with("merged-2"), "{}", plan.facts.run);
}

#[test]
fn the_folders_of_cells_are_copied_and_links_in_them_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let one = run(place.path(), "one", 0, &MIXED[..1], |_| {});
    let two = run(place.path(), "two", 5, &MIXED[1..2], |_| {});
    let cell = |folder: &Path, plan: &CellPlan| folder.join("cells").join(plan.id().as_str());
    let logs = cell(&one, &MIXED[0]).join("manifests");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("01.yaml"), "a: 1").unwrap();
    std::os::unix::fs::symlink(place.path(), cell(&one, &MIXED[0]).join("link")).unwrap();
    fs::create_dir_all(two.join("cells")).unwrap();
    std::os::unix::fs::symlink(&one, cell(&two, &MIXED[1])).unwrap();
    let mut parts = [&one, &two].map(|folder| Part::read(folder).unwrap());
    Plan::new(&mut parts).unwrap();
    let to = place.path().join("merged");
    copy_cells(&parts, &to).unwrap();
    let copied = cell(&to, &MIXED[0]);
    assert_eq!(
        fs::read_to_string(copied.join("manifests/01.yaml")).unwrap(),
        "a: 1"
    );
    assert!(!copied.join("link").exists());
    assert!(
        !cell(&to, &MIXED[1]).exists(),
        "a link instead of the cell's folder"
    );
}
