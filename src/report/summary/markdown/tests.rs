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
