//! Repetitions, and options that end a run early: the real binary on the local provider.

use e2e_matrix::event::{CellVerdict, RunVerdict, Termination};
use e2e_matrix::record::RunModel;

use crate::runs::scripted::{prepare, run};
use crate::support::record;

/// All cells of the run in the order of the record, with their verdicts.
fn verdicts(model: &RunModel) -> Vec<(&str, CellVerdict)> {
    let cells = model.cells.iter();
    cells
        .map(|cell| (cell.summary.id.as_str(), cell.verdict))
        .collect()
}

fn reason<'r>(model: &'r RunModel, id: &str) -> &'r str {
    record::cell(model, id).reason.as_deref().unwrap()
}

#[test]
fn repetitions_are_separate_cells_that_use_one_cluster_name_in_turn() {
    let scratch = prepare(&["fast"], "nothing");
    let arguments = ["--repeat", "2", "--jobs", "1", "--cluster-name", "mine"];
    let (stderr, exit) = run(&scratch, &arguments);
    assert_eq!(exit, Some(0), "{stderr}");
    let model = record::read(&scratch);
    let passed = CellVerdict::Passed;
    let (first, second) = ("k8s-1.36-n1-fast", "k8s-1.36-n1-fast#2");
    assert_eq!(verdicts(&model), [(first, passed), (second, passed)]);
    let repetitions = model.cells.iter().map(|cell| cell.summary.repetition);
    assert_eq!(repetitions.collect::<Vec<_>>(), [Some(1), Some(2)]);
    for id in [first, second] {
        let folder = record::folder(&scratch).join("cells").join(id);
        assert!(folder.join("manifests").is_dir());
        assert_eq!(record::cell(&model, id).cluster.as_deref(), Some("mine"));
    }
    record::assert_nothing_else_is_left(&scratch, &model);
    let (stderr, exit) = run(&scratch, &["--repeat", "2", "--cluster-name", "mine"]);
    assert_eq!(exit, Some(2));
    assert!(stderr.contains("--jobs 1"), "{stderr}");
}

#[test]
fn rounds_repeat_until_a_cell_fails() {
    let scratch = prepare(&["fast", "other"], "*fast#3");
    let (stderr, exit) = run(&scratch, &["--until-failure", "--jobs", "1"]);
    assert_eq!(exit, Some(3), "{stderr}");
    let model = record::read(&scratch);
    let (passed, broken) = (CellVerdict::Passed, CellVerdict::Error);
    assert_eq!(
        verdicts(&model),
        [
            ("k8s-1.36-n1-fast", passed),
            ("k8s-1.36-n1-other", passed),
            ("k8s-1.36-n1-fast#2", passed),
            ("k8s-1.36-n1-other#2", passed),
            ("k8s-1.36-n1-fast#3", broken),
            ("k8s-1.36-n1-other#3", CellVerdict::Skipped),
        ]
    );
    assert_eq!(
        reason(&model, "k8s-1.36-n1-other#3"),
        "not started: --until-failure took effect when k8s-1.36-n1-fast#3 ended with an error"
    );
    record::assert_nothing_else_is_left(&scratch, &model);
}

#[test]
fn max_fail_skips_the_remaining_cells() {
    let scratch = prepare(&["a", "b", "c", "d"], "*n1-a | *n1-c");
    for (option, last, skipped) in [
        (&["--fail-fast"][..], "k8s-1.36-n1-a", 3),
        (&["--max-fail", "2"], "k8s-1.36-n1-c", 1),
    ] {
        let (stderr, exit) = run(&scratch, &[&["--jobs", "1"], option].concat());
        assert_eq!(exit, Some(3), "{stderr}");
        let model = record::read(&scratch);
        assert_eq!(model.cells.len(), 4);
        let cells = &model.cells[4 - skipped..];
        for cell in cells {
            let expected = format!(
                "not started: {} took effect when {last} ended with an error",
                option.join(" ")
            );
            assert_eq!(cell.verdict, CellVerdict::Skipped);
            assert_eq!(cell.reason.as_ref(), Some(&expected));
        }
        assert_eq!(record::cell(&model, last).verdict, CellVerdict::Error);
        record::assert_nothing_else_is_left(&scratch, &model);
    }
}

#[test]
fn a_run_that_reaches_its_timeout_ends_with_cleanup() {
    let scratch = prepare(&["silent", "fast"], "nothing");
    let (stderr, exit) = run(&scratch, &["--run-timeout", "2s", "--jobs", "1"]);
    assert_eq!(exit, Some(3), "{stderr}");
    let model = record::read(&scratch);
    let by = Termination::RunTimeout;
    assert_eq!(model.verdict, Some(RunVerdict::Interrupted { by }));
    assert_eq!(
        verdicts(&model),
        [
            ("k8s-1.36-n1-silent", CellVerdict::Interrupted),
            ("k8s-1.36-n1-fast", CellVerdict::Skipped),
        ]
    );
    assert_eq!(
        reason(&model, "k8s-1.36-n1-fast"),
        "not started: the run timeout (--run-timeout) was reached"
    );
    record::assert_nothing_else_is_left(&scratch, &model);
}

#[test]
fn only_interrupted_repetitions_are_resumed() {
    let scratch = prepare(&["fast", "other"], "nothing");
    let cut = ["--repeat", "2", "--jobs", "1", "--run-timeout", "3s"];
    let (stderr, exit) = run(&scratch, &cut);
    assert_eq!(exit, Some(3), "{stderr}");
    let passed = verdicts(&record::read(&scratch))
        .iter()
        .filter(|(_, verdict)| *verdict == CellVerdict::Passed)
        .count();
    let (stderr, exit) = run(&scratch, &["--resume", "--jobs", "1"]);
    assert_eq!(exit, Some(0), "{stderr}");
    let begun = stderr.matches(" start ").count();
    assert_eq!(begun, 4 - passed, "{stderr}");
    let model = record::read(&scratch);
    let ids = [
        "k8s-1.36-n1-fast",
        "k8s-1.36-n1-other",
        "k8s-1.36-n1-fast#2",
        "k8s-1.36-n1-other#2",
    ];
    assert_eq!(verdicts(&model), ids.map(|id| (id, CellVerdict::Passed)));
    record::assert_nothing_else_is_left(&scratch, &model);
}
