//! Finds the value of an axis that explains the failures of a run, based only on which cells failed.
//!
//! A value explains the failures if every cell with it failed and no other cell did. There must be at least two cells
//! with the value, because a single cell explains nothing, and at least one other cell. If several values qualify, the
//! first one is named, in this order: Kubernetes version, node count, config, further axes. Cells without a result
//! (skipped or interrupted) don't count.

use crate::event::CellVerdict;
use crate::record::model::{CellModel, RunModel};

/// The value that explains the failures of `run`, if any, with its counts: `3 of 3 cells with agent-1.4 failed, 0 of 9
/// others`.
pub(super) fn attribution(run: &RunModel) -> Option<String> {
    let cells = run.cells.iter();
    let results = cells.filter_map(|cell| Some((has_failed(cell)?, values(cell))));
    explanation(&results.collect::<Vec<_>>())
}

/// Whether the cell failed; `None` if it has no result.
fn has_failed(cell: &CellModel) -> Option<bool> {
    match cell.verdict {
        CellVerdict::Failed | CellVerdict::Error => Some(true),
        CellVerdict::Passed | CellVerdict::Flaky => Some(false),
        CellVerdict::Skipped | CellVerdict::Interrupted => None,
    }
}

/// The cell's value on each axis, the simplest axis first.
fn values(cell: &CellModel) -> Vec<String> {
    let summary = &cell.summary;
    let mut values = vec![
        format!("k8s-{}", summary.kubernetes),
        format!("n{}", summary.nodes),
        format!("config {}", summary.config),
    ];
    let axes = summary.axes.iter();
    values.extend(axes.map(|place| format!("{}-{}", place.axis, place.value)));
    values
}

/// The first value that all failed cells and no other cells have. Each element of `cells` says whether the cell failed,
/// and has its value on each axis.
fn explanation(cells: &[(bool, Vec<String>)]) -> Option<String> {
    let (failed, others): (Vec<_>, Vec<_>) = cells.iter().partition(|(failed, _)| *failed);
    let (counted, others) = (failed.len(), others.len());
    if counted < 2 || others == 0 {
        return None;
    }
    let mut values = failed[0].1.iter().enumerate();
    let (_, value) = values.find(|(axis, value)| {
        let mut cells = cells.iter();
        cells.all(|(failed, values)| *failed == (values.get(*axis) == Some(*value)))
    })?;
    Some(format!(
        "{counted} of {counted} cells with {value} failed, 0 of {others} others"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(failed: bool, values: &[&str]) -> (bool, Vec<String>) {
        let values = values.iter().map(ToString::to_string);
        (failed, values.collect())
    }

    #[test]
    fn a_value_that_exactly_the_failed_cells_have_explains_them() {
        let mut cells = Vec::new();
        for version in ["k8s-1.34", "k8s-1.35", "k8s-1.36"] {
            for agent in ["agent-1.2", "agent-1.3", "agent-1.4", "agent-1.5"] {
                cells.push(cell(agent == "agent-1.4", &[version, agent]));
            }
        }
        assert_eq!(
            explanation(&cells).unwrap(),
            "3 of 3 cells with agent-1.4 failed, 0 of 9 others"
        );
        let last = cells.len() - 1;
        cells[last].0 = true;
        assert_eq!(explanation(&cells), None);
    }

    #[test]
    fn a_single_failure_and_a_run_without_a_passed_cell_are_not_explained() {
        let one = [cell(true, &["k8s-1.34"]), cell(false, &["k8s-1.35"])];
        assert_eq!(explanation(&one), None);
        let all = [cell(true, &["k8s-1.34"]), cell(true, &["k8s-1.34"])];
        assert_eq!(explanation(&all), None);
    }

    proptest! {
        #[test]
        fn the_attribution_fits_every_cell_and_no_simpler_one_does(
            cells in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec(0_u8..3, 3)), 0..14,
            ),
        ) {
            let cells: Vec<_> = cells
                .into_iter()
                .map(|(failed, values)| {
                    let values = values.iter().enumerate();
                    (failed, values.map(|(axis, value)| format!("{axis}-{value}")).collect())
                })
                .collect::<Vec<(bool, Vec<String>)>>();
            let failures = cells.iter().filter(|(failed, _)| *failed).count();
            let explains = |axis: usize, value: &String| {
                cells.iter().all(|(failed, values)| *failed == (values[axis] == *value))
            };
            let names: Vec<String> = (0..9).map(|name| format!("{}-{}", name / 3, name % 3)).collect();
            let mut fitting = names.iter().enumerate().filter(|(name, value)| explains(name / 3, value));
            let simplest = fitting.next().map(|(_, value)| value.clone());
            let counts = failures >= 2 && failures < cells.len();
            match explanation(&cells) {
                Some(found) => {
                    prop_assert!(counts);
                    let (value, others) = (simplest.unwrap(), cells.len() - failures);
                    let text = format!("{failures} of {failures} cells with {value} failed, 0 of {others} others");
                    prop_assert_eq!(found, text);
                }
                None => prop_assert!(!counts || simplest.is_none()),
            }
        }

        #[test]
        fn the_order_of_cells_does_not_matter(
            mut cells in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec("[ab]", 2)), 0..8,
            ),
        ) {
            let before = explanation(&cells);
            cells.reverse();
            prop_assert_eq!(explanation(&cells), before);
        }
    }
}
