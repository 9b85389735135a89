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
use crate::record::{self, FILE_NAME, RecordWriter, RunModel, Sink, verdict_of};
use crate::report::console::{Console, Detail};
use crate::report::fixture::{self, MIXED, Plan as CellPlan, Story};
use crate::report::write::Report;

/// A run of `plans` in its own folder in `place`, started `seconds` later, with `change` applied to its facts.
fn run(
    place: &Path,
    name: &str,
    seconds: i64,
    plans: &[CellPlan],
    change: fn(&mut RunFacts),
) -> PathBuf {
    let mut records = fixture::killed(plans);
    for record in &mut records {
        record.at += SignedDuration::from_secs(seconds);
    }
    let facts = facts_in(&mut records);
    name.clone_into(&mut facts.run);
    facts.host.name = format!("host of {name}");
    change(facts);
    records.push(after(&records, 0, END));
    written(place, name, &records)
}

/// The last event of a run.
const END: Event = Event::RunFinished {
    verdict: RunVerdict::Passed,
    duration_ms: 60_000,
};

/// `event`, this many seconds after the last one of `records`.
fn after(records: &[Record], seconds: i64, event: Event) -> Record {
    let last = records[records.len() - 1].clone();
    Record {
        at: last.at + SignedDuration::from_secs(seconds),
        event,
        ..last
    }
}

/// The facts in the first event of a run.
fn facts_in(records: &mut [Record]) -> &mut RunFacts {
    match &mut records[0].event {
        Event::RunStarted { facts } => facts,
        other => panic!("{other:?}"),
    }
}

fn with_story(plan: CellPlan, story: Story) -> CellPlan {
    CellPlan(plan.0, plan.1, plan.2, plan.3, story)
}

/// A run whose second cell fails, and a rerun of that cell with `story`.
fn failed_and_rerun(place: &Path, story: Story) -> [PathBuf; 2] {
    [
        run(place, "first", 0, &[MIXED[0], MIXED[2]], |_| ()),
        rerun(place, "again", &[with_story(MIXED[2], story)]),
    ]
}

/// A rerun of the run `first`.
fn rerun(place: &Path, name: &str, plans: &[CellPlan]) -> PathBuf {
    run(place, name, 900, plans, |facts| {
        facts.rerun_of = Some("first".to_owned());
    })
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

/// A merged run, without its last event.
#[derive(Debug)]
struct Merged {
    plan: Plan,
    records: Vec<Record>,
    run: RunModel,
}

impl Merged {
    fn verdict(&self) -> RunVerdict {
        verdict_of(&self.run, self.plan.is_whole)
    }

    fn verdicts(&self) -> Vec<CellVerdict> {
        self.run.cells.iter().map(|cell| cell.verdict).collect()
    }

    fn warnings(&self) -> Vec<&str> {
        let notices = self.plan.notices.iter();
        let warnings = notices.filter(|(severity, _)| *severity == Severity::Warning);
        warnings.map(|(_, text)| text.as_str()).collect()
    }
}

fn merged(folders: &[&PathBuf]) -> Result<Merged, MergeError> {
    let parts: Result<Vec<_>, _> = folders.iter().map(|folder| Part::read(folder)).collect();
    let mut parts = without_earlier_merges(parts?);
    let plan = Plan::new(&mut parts)?;
    let records: Vec<Record> = MergedEvents::open(&parts, &plan)?.collect::<Result<_, _>>()?;
    let run = RunModel::new(&records);
    Ok(Merged { plan, records, run })
}

/// Replaces a text in the record in `folder`.
fn replace(folder: &Path, old: &str, new: &str) {
    let record = folder.join(FILE_NAME);
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(old, new)).unwrap();
}

/// Renames `cell` in the record in `folder`.
fn rename(folder: &Path, cell: &CellId, new: &CellId) {
    replace(folder, cell.as_str(), new.as_str());
}

fn shard(index: u32, digest: &str) -> ShardFacts {
    ShardFacts {
        index,
        count: 2,
        cells: 6,
        digest: digest.to_owned(),
    }
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
    let Merged { plan, records, run } = merged(&[&two, &one]).unwrap();
    assert_eq!(merged(&[&one, &two]).unwrap().records, records);
    assert_eq!((plan.is_whole, plan.notices), (true, Vec::new()));
    assert_eq!(plan.duration_ms, 65_000, "what ran at once counts once");
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (0..records.len() as u64).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.at));

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
    let without_second = merged(&[&one]).unwrap();
    assert_eq!(without_second.warnings(), ["shards are missing: 2/2"]);
    assert!(!without_second.plan.is_whole);
    let alone = run(place.path(), "alone", 5, &MIXED[1..2], |facts| {
        let cells = 1;
        facts.shard = Some(ShardFacts {
            cells,
            ..shard(1, "a")
        });
    });
    let alone = merged(&[&alone]).unwrap();
    assert!(alone.plan.is_whole, "the second shard of one cell is empty");
    let both = merged(&[&one, &other]).unwrap();
    assert!(both.warnings()[0].starts_with("the shards belong to different selections"));
    assert!(!both.plan.is_whole);
}

#[test]
fn only_a_rerun_of_the_same_run_may_repeat_a_cell() {
    let place = tempfile::tempdir().unwrap();
    let [first, again] = failed_and_rerun(place.path(), Story::Passes);
    let both = merged(&[&again, &first]).unwrap();
    assert_eq!(both.verdicts(), [CellVerdict::Passed; 2]);
    let mut starts = both.records.clone();
    starts.retain(|record| matches!(record.event, Event::CellStarted { .. }));
    assert_eq!(starts.len(), 2, "one start per cell");
    assert_eq!(both.run.cells[1].host.as_deref(), Some("host of again"));
    let text = "the rerun again replaces the results of 1 cell of first";
    assert_eq!(both.plan.notices, [(Severity::Info, text.to_owned())]);
    assert!(both.plan.is_whole);

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
    let both = merged(&[&first, &again]).unwrap();
    assert_eq!(both.verdicts()[1], CellVerdict::Failed);
    assert_eq!(both.run.cells[1].host.as_deref(), Some("host of first"));
    let notices = &both.plan.notices;
    assert!(notices.is_empty(), "{notices:?}");
}

/// Adds to the record in `folder`, before its last event, that a signal interrupted the run.
fn interrupt(folder: &Path) {
    let mut records = record::read(&folder.join(FILE_NAME)).unwrap();
    let by = Termination::Interrupt;
    let interrupted = after(&records, 0, Event::Interrupted { by });
    records.insert(records.len() - 1, interrupted);
    fs::remove_dir_all(folder).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    written(folder.parent().unwrap(), name, &records);
}

#[test]
fn a_cell_that_never_started_keeps_a_merge_from_passing() {
    let place = tempfile::tempdir().unwrap();
    let [passes, fails, skipped] = [MIXED[0], MIXED[2], MIXED[7]];
    // With `--fail-fast`, the second repetition of the first cell was not started.
    let first = run(place.path(), "first", 0, &[passes, fails, skipped], |_| ());
    rename(&first, &skipped.id(), &passes.id().repetition(2));
    let again = [
        with_story(fails, Story::Passes),
        with_story(passes, Story::IsSkipped),
    ];
    let again = rerun(place.path(), "again", &again);
    interrupt(&again);
    let both = merged(&[&first, &again]).unwrap();
    let (passed, skipped) = (CellVerdict::Passed, CellVerdict::Skipped);
    assert_eq!(both.verdicts(), [passed, passed, skipped]);
    let text = "the run first on host of first ended before all of its cells had a verdict";
    assert_eq!(both.warnings(), [text]);
    assert_eq!(both.verdict(), RunVerdict::InfrastructureFailure);
}

#[test]
fn a_cell_that_cannot_run_does_not_keep_a_merge_from_passing() {
    let place = tempfile::tempdir().unwrap();
    let first = run(place.path(), "first", 0, &MIXED[6..8], |_| ());
    interrupt(&first);
    let skipped = r#""verdict":"skipped""#;
    replace(&first, skipped, &format!(r#"{skipped},"cannot_run":true"#));
    let passes = with_story(MIXED[6], Story::Passes);
    let again = rerun(place.path(), "again", &[passes]);
    let both = merged(&[&first, &again]).unwrap();
    assert_eq!(both.run.signal, None, "what it cut off ran again");
    assert_eq!(both.verdict(), RunVerdict::Passed);
}

#[test]
fn only_the_cells_of_runs_at_the_same_time_add_up() {
    let place = tempfile::tempdir().unwrap();
    let [first, again] = failed_and_rerun(place.path(), Story::Passes);
    let beside = run(place.path(), "beside", 5, &MIXED[3..4], |_| ());
    let jobs = |folders: &[&PathBuf]| merged(folders).unwrap().plan.facts.jobs;
    assert_eq!(jobs(&[&first, &again]), 2);
    assert_eq!(jobs(&[&first, &beside]), 4);
    assert_eq!(jobs(&[&first, &beside, &again]), 4);
}

#[test]
fn a_process_that_checks_whether_a_run_is_running_is_not_taken_for_that_run() {
    let place = tempfile::tempdir().unwrap();
    let killed = written(place.path(), "killed", &fixture::killed(&MIXED[..1]));
    let part = Part::read(&killed).unwrap();
    let other = fs::File::open(killed.join(FILE_NAME)).unwrap();
    other.lock_shared().unwrap();
    assert!(!part.is_running());
    drop(other);
    let writer = RecordWriter::reopen(&killed.join(FILE_NAME)).unwrap();
    assert!(part.is_running());
    drop(writer);
}

#[test]
fn a_rerun_of_a_cell_replaces_all_its_repetitions_and_its_own_repetitions_all_count() {
    let place = tempfile::tempdir().unwrap();
    let (id, passes) = (MIXED[2].id(), with_story(MIXED[2], Story::Passes));
    let second = id.repetition(2);
    let rerun = |name, plans: &[CellPlan]| {
        let rerun = rerun(place.path(), name, plans);
        rename(&rerun, &MIXED[3].id(), &second);
        rerun
    };
    let first = run(place.path(), "first", 0, &MIXED[2..4], |_| ());
    rename(&first, &MIXED[3].id(), &second);

    let both = merged(&[&first, &rerun("again", &[passes])]).unwrap();
    assert_eq!(both.verdicts(), [CellVerdict::Passed]);
    assert_eq!(both.verdict(), RunVerdict::Passed);
    let text = "the rerun again replaces the results of 1 cell of first";
    assert_eq!(both.plan.notices, [(Severity::Info, text.to_owned())]);

    let both = merged(&[&first, &rerun("twice", &[passes, MIXED[3]])]).unwrap();
    assert_eq!(both.verdicts(), [CellVerdict::Passed, CellVerdict::Error]);
}

#[test]
fn an_earlier_merge_of_the_same_runs_is_ignored() {
    let place = tempfile::tempdir().unwrap();
    let first = run(place.path(), "first", 0, &[MIXED[0], MIXED[2]], |_| ());
    let other = run(place.path(), "other", 5, &MIXED[3..4], |_| ());
    let runs = merged(&[&first, &other]).unwrap();
    let mut records = runs.records.clone();
    "once".clone_into(&mut facts_in(&mut records).run);
    let once = written(place.path(), "once", &records);
    let all = merged(&[&once, &other, &first]).unwrap();
    assert_eq!(all.records, runs.records);

    let passes = [MIXED[2], MIXED[3]].map(|plan| with_story(plan, Story::Passes));
    let again = run(place.path(), "again", 900, &passes, |facts| {
        facts.rerun_of = Some("once".to_owned());
    });
    for folders in [&[&once, &again][..], &[&first, &other, &again, &once]] {
        assert_eq!(merged(folders).unwrap().verdict(), RunVerdict::Passed);
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
    let begun = records[1].event.clone();
    let facts = facts_in(&mut records);
    let session = SessionFacts {
        token: "later".to_owned(),
        runner: facts.runner.clone(),
        jobs: 1,
        host: facts.host.clone(),
    };
    let cell = MIXED[6].id();
    let ended = Event::CellFinished {
        cell: cell.clone(),
        verdict: CellVerdict::Interrupted,
        cannot_run: false,
        reason: None,
        duration_ms: 1000,
        load: None,
    };
    let cut_off = Event::PhaseStarted {
        cell,
        phase: Phase::Cluster,
        command: None,
    };
    let by = Termination::Interrupt;
    for (seconds, event) in [
        (1, Event::Interrupted { by }),
        (1, ended),
        (58, Event::RunResumed { facts: session }),
        (1, begun),
        (2, cut_off),
    ] {
        records.push(after(&records, seconds, event));
    }
    let killed = written(place.path(), "killed", &records);
    let later = run(place.path(), "later", 900, &MIXED[..1], |_| ());
    let both = merged(&[&killed, &later]).unwrap();
    assert_eq!(both.run.signal, None);
    assert_eq!(both.verdict(), RunVerdict::InfrastructureFailure);
    let cut_off = &both.run.cells[1];
    assert_eq!(cut_off.verdict, CellVerdict::Interrupted);
    assert_eq!(cut_off.duration_ms, 2000, "up to the end of its own run");
}

#[test]
fn a_cell_that_was_cut_off_counts_until_it_has_run_again() {
    let place = tempfile::tempdir().unwrap();
    let cut = MIXED[6];
    let mut records = fixture::killed(&[MIXED[0], cut]);
    let by = Termination::Interrupt;
    records.push(after(&records, 0, Event::Interrupted { by }));
    let first = written(place.path(), "first", &records);
    let alone = merged(&[&first]).unwrap();
    assert!(!alone.plan.is_whole);
    assert!(alone.warnings()[0].ends_with("ended before all of its cells had a verdict"));
    assert_eq!(alone.run.signal, Some(by));
    let cell = &alone.run.cells[1];
    assert_eq!(cell.verdict, CellVerdict::Interrupted);
    assert_eq!(cell.failed_phase().unwrap().phase, Phase::Readiness);
    let ends = |records: &[Record]| -> usize {
        let is_end = |record: &&Record| matches!(&record.event, Event::CellFinished { cell, .. } if *cell == cut.id());
        records.iter().filter(is_end).count()
    };
    assert_eq!((ends(&records), ends(&alone.records)), (0, 1));

    // Merging the merged run again preserves this end.
    let mut records = alone.records;
    records.push(after(&records, 0, END));
    let once = written(place.path(), "merged-once", &records);
    assert!(!merged(&[&once]).unwrap().plan.is_whole);

    let passes = with_story(cut, Story::Passes);
    let again = run(place.path(), "again", 900, &[passes], |facts| {
        facts.rerun_of = Some("20260102-030405-x7".to_owned());
    });
    let both = merged(&[&first, &again]).unwrap();
    assert!(both.plan.is_whole);
    assert_eq!(both.run.signal, None);
    assert_eq!(both.verdicts()[1], CellVerdict::Passed);
}

#[test]
fn cells_that_were_added_during_a_run_are_counted_once() {
    let place = tempfile::tempdir().unwrap();
    let mut records = fixture::killed(&MIXED[..2]);
    let cells = facts_in(&mut records).cells.split_off(1);
    let added = Record {
        event: Event::CellsAdded { cells },
        ..records[0].clone()
    };
    records.insert(1, added);
    let part = written(place.path(), "part", &records);
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, false, Detail::Cells);
    for record in &merged(&[&part]).unwrap().records {
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
    let both = merged(&[&second, &first]).unwrap();
    assert_eq!(both.verdicts(), [CellVerdict::Failed, CellVerdict::Passed]);
    assert_eq!(both.verdict(), RunVerdict::ProductFailure);
    let repeated = both.run.repeated();
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
    let parts = merged(&[&one, &two]).unwrap().plan.facts.parts;
    let [part] = &parts[..] else {
        panic!("{parts:?}");
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
    let alone = merged(&[&one]).unwrap();
    let [warning] = alone.warnings()[..] else {
        panic!("{:?}", alone.warnings());
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
    let Merged { plan, .. } = merged(&[&one, &two, &three]).unwrap();
    let host = &plan.facts.host;
    assert_eq!(host.name, "host of one, host of two");
    assert_eq!((host.cpus, host.memory_bytes), (8, 110));
    assert_eq!(host.tools, ["Docker 29", "kind 0.32", "Docker 28"]);
    assert_eq!(host.platform, "linux x86_64");
    let commands = ["first", "both", "second"].map(command);
    assert_eq!(plan.facts.commands, commands);

    assert_eq!(plan.facts.flaky_result, FlakyResult::Fail);
    let facts = |folders: &[&PathBuf]| merged(folders).unwrap().plan.facts;
    let lenient = facts(&[&one, &three]).flaky_result;
    assert_eq!(lenient, FlakyResult::Pass);

    let id = |folders: &[&PathBuf]| facts(folders).run;
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
