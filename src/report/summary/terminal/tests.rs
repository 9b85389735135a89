//! What people see first, as snapshots.

use super::terminal;
use crate::record::RunModel;
use crate::report::fixture::{self, MIXED, Plan, Story};

const WIDTH: usize = 100;

#[test]
fn a_mixed_run_on_a_terminal() {
    let run = RunModel::new(&fixture::mixed());
    insta::assert_snapshot!(terminal(&run, WIDTH, false));
}

#[test]
fn a_narrow_terminal_gets_one_letter_a_phase() {
    let run = RunModel::new(&fixture::mixed());
    insta::assert_snapshot!(terminal(&run, 60, false));
}

#[test]
fn a_local_run_says_what_it_is() {
    let run = RunModel::new(&fixture::green_local(&MIXED[..2]));
    insta::assert_snapshot!(terminal(&run, WIDTH, false));
}

#[test]
fn a_run_that_reached_no_cell_says_why() {
    let run = RunModel::new(&fixture::broken_before_its_cells());
    insta::assert_snapshot!(terminal(&run, WIDTH, false));
}

#[test]
fn colour_adds_nothing_but_colour() {
    let run = RunModel::new(&fixture::mixed());
    let colored = terminal(&run, WIDTH, true);
    assert!(colored.contains('\u{1B}'));
    let stripped = anstream::adapter::strip_str(&colored).to_string();
    let trimmed: Vec<_> = stripped.lines().map(str::trim_end).collect();
    let plain = terminal(&run, WIDTH, false);
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

#[test]
fn the_shipped_matrix_fits_its_width() {
    let plans: Vec<_> = ["1.30", "1.33", "1.34", "1.36"]
        .into_iter()
        .flat_map(|version| [(version, 1), (version, 3)])
        .flat_map(|(version, nodes)| {
            ["default", "fast"].map(|config| Plan(version, nodes, config, false, Story::Passes))
        })
        .collect();
    let run = RunModel::new(&fixture::green_local(&plans));
    for line in terminal(&run, WIDTH, false).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}
