//! The summary on a job's page.

use super::markdown;
use crate::event::Symptom;
use crate::matrix::Phase;
use crate::record::RunModel;
use crate::report::fixture::{self, MIXED, Plan, Story};

#[test]
fn a_mixed_run_on_a_page() {
    let run = RunModel::new(&fixture::mixed());
    insta::assert_snapshot!(markdown(&run));
}

#[test]
fn a_local_run_is_marked_as_local() {
    let run = RunModel::new(&fixture::green_local(&MIXED[..1]));
    let text = markdown(&run);
    assert!(text.contains("Kubernetes 1.30 was not exercised"), "{text}");
    assert!(text.contains("| cell (local) |"), "{text}");
    assert!(text.contains("1.30 (not exercised)"), "{text}");
}

#[test]
fn a_summary_that_is_too_large_for_github_says_what_it_leaves_out() {
    let story = Story::Fails(Phase::Readiness, Symptom::AgentNotReady);
    let mut run = RunModel::new(&fixture::killed(&[Plan("1.36", 1, "fast", false, story)]));
    run.cells[0].quotes[0].lines = vec!["x".repeat(40_000)];

    let cells = vec![run.cells[0].clone(); 100];
    let text = markdown(&RunModel {
        cells,
        ..run.clone()
    });
    assert!(text.len() < 1 << 20, "{}", text.len());
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("\n- **"), 100, "each failure is listed");
    let shown = count("Evidence and logs of");
    assert!(shown > 10, "{shown}");
    assert!(text.contains(&format!(": {} excerpts. See `report.html`", 100 - shown)));

    run.cells[0].quotes.clear();
    let cells = vec![run.cells[0].clone(); 10_000];
    let text = markdown(&RunModel { cells, ..run });
    assert!(text.len() < 1 << 20, "{}", text.len());
    let note = text.lines().find(|line| line.contains("left out"));
    let note = note.unwrap();
    assert!(
        note.contains(" failures") && note.contains(" table rows"),
        "{note}"
    );
}

#[test]
fn many_nodes_are_truncated_and_nodes_with_failed_checks_come_first() {
    let story = Story::Fails(Phase::Assertions, Symptom::CounterNotMet);
    let run = RunModel::new(&fixture::killed(&[Plan("1.36", 200, "fast", false, story)]));
    let text = markdown(&run);
    let of_nodes = text.split("*expected per node*").nth(1).unwrap();
    let first = of_nodes.lines().nth(1).unwrap();
    assert!(first.starts_with("| worker199 |"), "{first}");
    assert!(first.contains("**0 (&gt;= 1)**"), "{first}");
    assert!(text.contains("| and 190 more |"));
    assert!(text.lines().count() < 120);
}

#[test]
fn a_single_cell_without_counters_is_singular() {
    let mut run = RunModel::new(&fixture::green_local(&MIXED[..1]));
    run.cells = vec![run.cells[0].clone(); 51];
    assert!(markdown(&run).contains("\nand 1 more cell\n"));
}

#[test]
fn the_title_of_a_folded_section_has_no_escapes_of_markdown() {
    let story = Story::Fails(Phase::Readiness, Symptom::AgentNotReady);
    let mut run = RunModel::new(&fixture::killed(&[Plan("1.36", 1, "fast", false, story)]));
    let id = &mut run.cells[0].summary.id;
    *id = id.repetition(2);
    let text = markdown(&run);
    let title = "<summary>Evidence and logs of k8s-1.36-n1-fast#2</summary>";
    assert!(text.contains(title), "{text}");
    assert!(text.contains(r"| k8s-1.36-n1-fast\#2 |"), "{text}");
}

#[test]
fn the_path_of_the_matrix_file_does_not_end_its_code_span() {
    let mut run = RunModel::new(&fixture::mixed());
    run.facts.as_mut().unwrap().matrix = "a`b\n\n<img>".to_owned();
    assert!(markdown(&run).contains("`a'b  <img>`"));
}

#[test]
fn the_names_of_commands_are_escaped() {
    let mut run = RunModel::new(&fixture::mixed());
    for attempt in run.cells.iter_mut().flat_map(|cell| &mut cell.earlier) {
        for phase in &mut attempt.phases {
            phase.command = Some("my_<b>".to_owned());
        }
    }
    let text = markdown(&run);
    assert!(text.contains(r"failed in my\_&lt;b&gt; ("), "{text}");
}
