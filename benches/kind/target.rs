//! The targets that ratios have to meet.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::case::{Case, Config};
use super::column::Column;
use super::results::{CaseResults, Spread};

/// A ratio that must not be exceeded.
struct Target {
    title: &'static str,
    case: Case,
    /// The ratio's numerator and denominator.
    columns: [Column; 2],
    is_cpu: bool,
    at_most: f64,
}

const fn fast(cells: usize, nodes: usize) -> Case {
    Case::Cells {
        cells,
        nodes,
        config: Config::Fast,
    }
}

const TARGETS: [Target; 8] = [
    Target {
        title: "one 1-node cell, prepared ÷ bare create + delete",
        case: fast(1, 1),
        columns: [Column::Prepared, Column::Bare],
        is_cpu: false,
        at_most: 0.6,
    },
    Target {
        title: "four at once, prepared ÷ four bare at once",
        case: fast(4, 1),
        columns: [Column::Prepared, Column::Bare],
        is_cpu: false,
        at_most: 0.55,
    },
    Target {
        title: "one 3-node cell, prepared ÷ bare 3-node",
        case: fast(1, 3),
        columns: [Column::Prepared, Column::Bare],
        is_cpu: false,
        at_most: 0.6,
    },
    Target {
        title: "one `default` cell, prepared ÷ the script",
        case: Case::Cells {
            cells: 1,
            nodes: 1,
            config: Config::Default,
        },
        columns: [Column::Prepared, Column::Script],
        is_cpu: false,
        at_most: 0.4,
    },
    Target {
        title: "CPU seconds of a prepared cell ÷ those of a bare cluster",
        case: fast(1, 1),
        columns: [Column::Prepared, Column::Bare],
        is_cpu: true,
        at_most: 0.5,
    },
    Target {
        title: "four variants with `--reuse` ÷ four scripts in series",
        case: fast(4, 1),
        columns: [Column::Reused, Column::Script],
        is_cpu: false,
        at_most: 0.2,
    },
    Target {
        title: "the shipped matrix, second run ÷ baseline",
        case: Case::Matrix,
        columns: [Column::Second, Column::Baseline],
        is_cpu: false,
        at_most: 0.55,
    },
    Target {
        title: "the shipped matrix, first run, nothing prepared ÷ baseline",
        case: Case::Matrix,
        columns: [Column::First, Column::Baseline],
        is_cpu: false,
        at_most: 1.0,
    },
];

/// The measured outcome of a target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The ratio, in words.
    pub(crate) title: String,
    /// The case that it was measured in.
    pub(crate) case: Case,
    /// The ratio.
    pub(crate) ratio: Spread,
    /// The limit that its median must not exceed.
    pub(crate) at_most: f64,
    /// Whether the median is within the limit.
    pub(crate) holds: bool,
}

/// The outcomes of the targets for which `cases` have results.
pub(crate) fn outcomes(cases: &[CaseResults]) -> Vec<Outcome> {
    let outcomes = TARGETS.iter().filter_map(|target| {
        let results = cases.iter().find(|results| results.case == target.case)?;
        let [one, other] = target.columns;
        let measured = results.ratios.get(&format!("{one}/{other}"))?;
        let ratio = if target.is_cpu {
            measured.cpu_seconds
        } else {
            measured.seconds
        };
        Some(Outcome {
            title: target.title.to_owned(),
            case: target.case,
            ratio,
            at_most: target.at_most,
            holds: ratio.median <= target.at_most,
        })
    });
    outcomes.collect()
}

/// The outcomes, one per line.
pub(crate) fn text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let (title, ratio, at_most) = (&outcome.title, outcome.ratio, outcome.at_most);
        let verdict = if outcome.holds { "met" } else { "NOT MET" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{title}: {ratio:.2}, at most {at_most}: {verdict}");
    }
    text
}
