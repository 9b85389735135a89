//! The page, compared with the fixture's table.

use crate::matrix::Phase;
use crate::record::RunModel;
use crate::report::fixture::{self, CLEAN_LINE, MIXED};
use crate::report::write::Report;

fn render(run: &RunModel) -> String {
    Report::Html.render(run)
}

/// The row of a cell in the matrix of `page`.
fn row<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<tr><th><a href=\"#{id}\">")).unwrap();
    page[start..].split("</tr>").next().unwrap()
}

#[test]
fn every_phase_of_every_cell_matches_the_table() {
    let page = render(&RunModel::new(&fixture::mixed()));
    for plan in &MIXED {
        let id = plan.id();
        let cells: Vec<_> = row(&page, id.as_str()).split("<td").skip(1).collect();
        for (phase, cell) in Phase::ALL.iter().zip(&cells) {
            assert!(cell.contains(&format!("#{id}.{phase}")), "{cell}");
            assert!(
                cell.contains(plan.mark(*phase).meaning()),
                "{id} {phase}: {cell}"
            );
        }
    }
}

#[test]
fn every_attempt_is_shown_and_every_anchor_is_unique() {
    let page = render(&RunModel::new(&fixture::mixed()));
    let id = MIXED[8].id();
    for attempt in ["", ".attempt-1"] {
        let anchor = format!("id=\"{id}{attempt}.readiness\"");
        assert_eq!(page.matches(&anchor).count(), 1, "{anchor}");
    }
    assert!(page.contains(&format!("href=\"#{id}.attempt-1.readiness\"")));
    assert!(page.contains("Attempt 1 <span class=\"badge bad\">FAILED</span>"));
}

#[test]
fn kept_clusters_are_shown_with_the_commands_to_inspect_them() {
    let page = render(&RunModel::new(&fixture::mixed()));
    assert!(page.contains("<pre>kind delete cluster --name plexd-e2e-134-n1-default-x7"));
}

#[test]
fn the_page_is_self_contained() {
    let page = render(&RunModel::new(&fixture::mixed()));
    for outside in [
        "<script", "<link", "src=", "@import", "url(", "http:", "https:",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn foreign_text_is_escaped() {
    let page = render(&RunModel::new(&fixture::mixed()));
    let escaped = CLEAN_LINE
        .replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;");
    assert!(page.contains(&escaped), "{escaped}");
    assert!(!page.contains("<b>|"));
    assert!(!page.contains(['\0', '\u{1B}']));
}

#[test]
fn a_local_run_is_marked_as_local() {
    let page = render(&RunModel::new(&fixture::green_local(&MIXED[..1])));
    assert!(page.contains("Kubernetes 1.30 was not exercised"));
    assert!(page.contains("Cells × phases (local)"));
}

#[test]
fn nodes_without_a_row_are_counted_even_if_they_do_not_meet_their_expectations() {
    for (nodes, note) in [(51, "and 1 more node<"), (52, "and 2 more nodes<")] {
        let page = render(&fixture::unmet(nodes));
        let notes = page.lines().filter(|line| line.contains("more node"));
        let notes: Vec<_> = notes.collect();
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:?}");
    }
}
