//! The summary on a terminal, as snapshots.

use super::terminal;
use crate::event::Symptom;
use crate::matrix::Phase;
use crate::record::RunModel;
use crate::report::fixture::{self, MIXED, Plan, Story};

const WIDTH: usize = 100;

#[test]
fn a_mixed_run_on_a_terminal() {
    let run = RunModel::new(&fixture::mixed());
    insta::assert_snapshot!(terminal(&run, Some(120), false));
}

#[test]
fn a_narrow_terminal_gets_one_letter_per_phase() {
    let run = RunModel::new(&fixture::mixed());
    insta::assert_snapshot!(terminal(&run, Some(60), false));
}

#[test]
fn a_local_run_is_marked_as_local() {
    let run = RunModel::new(&fixture::green_local(&MIXED[..2]));
    insta::assert_snapshot!(terminal(&run, Some(WIDTH), false));
}

#[test]
fn only_phases_that_are_quick_or_simulated_in_each_cell_that_ran_have_no_column() {
    let passes = Plan("1.36", 1, "fast", false, Story::Passes);
    let head = |run: &RunModel| {
        let text = terminal(run, Some(200), false);
        text.lines()
            .find(|line| line.starts_with("cell"))
            .map(str::to_owned)
    };
    let passed = RunModel::new(&fixture::green_local(&[passes]));
    assert!(!head(&passed).unwrap().contains("preflt"));
    let mut slow = passed.clone();
    slow.cells[0].phases[0].duration_ms = 100;
    assert!(head(&slow).unwrap().contains("preflt"));
    let failed = Plan(
        "1.34",
        1,
        "fast",
        false,
        Story::Fails(Phase::Preflight, Symptom::ToolMissing),
    );
    let failed = RunModel::new(&fixture::green_local(&[passes, failed]));
    assert!(head(&failed).unwrap().contains("preflt"));
    assert!(head(&failed).unwrap().contains("cluster"));
}

#[test]
fn colors_change_nothing_else() {
    let run = RunModel::new(&fixture::mixed());
    let colored = terminal(&run, Some(WIDTH), true);
    assert!(colored.contains('\u{1B}'));
    let stripped = anstream::adapter::strip_str(&colored).to_string();
    let trimmed: Vec<_> = stripped.lines().map(str::trim_end).collect();
    let plain = terminal(&run, Some(WIDTH), false);
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
    for line in terminal(&run, Some(WIDTH), false).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

/// Words and a long word without spaces, indented.
fn long_line() -> String {
    let words = "level=error msg=\"it is not so\" ".repeat(8);
    format!("\t{words}{}", "x".repeat(150))
}

#[test]
fn lines_of_logs_wrap_only_on_a_terminal() {
    let line = long_line();
    let run = RunModel::new(&fixture::with_log_line(&line));
    let bar = "    │ ";
    let printed = |width| -> Vec<String> {
        let text = terminal(&run, width, false);
        let quoted = text.lines().filter_map(|line| line.strip_prefix(bar));
        quoted.map(str::to_owned).collect()
    };
    assert_eq!(printed(None), std::slice::from_ref(&line));
    let wrapped = printed(Some(80));
    assert!(wrapped.len() > 4, "{wrapped:?}");
    let widths = wrapped
        .iter()
        .map(|line| bar.chars().count() + line.chars().count());
    assert!(widths.max() <= Some(80), "{wrapped:?}");
    // Nothing is lost except spaces at the ends of lines.
    let without_space = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(without_space(&wrapped.concat()), without_space(&line));
}

#[test]
fn the_message_of_a_failure_is_not_wrapped_outside_a_terminal() {
    let line = long_line();
    let run = RunModel::new(&fixture::with_log_line(&line));
    let sentence = format!("  it ended: `{}`\n", line.trim());
    assert!(terminal(&run, None, false).contains(&sentence));
    assert!(!terminal(&run, Some(80), false).contains(&sentence));
}

#[test]
fn a_single_node_or_cell_without_its_own_lines_is_singular() {
    let text = terminal(&fixture::unmet(6), None, false);
    let more = text.lines().find(|line| line.starts_with("  and "));
    assert_eq!(more.map(str::trim_end), Some("  and 1 more node"), "{text}");

    let story = Story::Fails(Phase::Cluster, Symptom::NodeImageMissing);
    let plans = (1..=11).map(|nodes| Plan("1.36", nodes, "fast", false, story));
    let run = RunModel::new(&fixture::killed(&plans.collect::<Vec<_>>()));
    let text = terminal(&run, None, false);
    assert!(
        text.contains("\n\nand 1 more failed or flaky cell\n"),
        "{text}"
    );
}
