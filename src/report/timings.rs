//! `timings.json`: the duration of each passed cell in milliseconds, by id. `--timings` reads it.

use std::collections::BTreeMap;

use crate::event::CellVerdict;
use crate::record::model::RunModel;

/// The content of the file. For a repeated cell, it contains the longest duration. A cell that passed on a retry isn't
/// included.
pub(super) fn render(run: &RunModel) -> String {
    let mut timings: BTreeMap<&str, u64> = BTreeMap::new();
    let cells = run.cells.iter();
    for cell in cells.filter(|cell| cell.verdict == CellVerdict::Passed) {
        let longest = timings.entry(cell.id_in_matrix()).or_default();
        *longest = cell.duration_ms.max(*longest);
    }
    let text = serde_json::to_string_pretty(&timings).expect("names and numbers are JSON");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use crate::record::RunModel;
    use crate::report::fixture;

    #[test]
    fn only_passed_cells_have_a_duration() {
        let text = super::render(&RunModel::new(&fixture::mixed()));
        insta::assert_snapshot!(text, @r#"
        {
          "k8s-1.30-n1-default": 66000,
          "k8s-1.30-n3-fast": 66000
        }
        "#);
    }
}
