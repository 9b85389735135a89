//! The generated part of docs/performance.md: the chart, and the same figures as a table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Result;
use super::case::{Case, Config};
use super::chart;
use super::column::Column;
use super::results::{CaseResults, Measured, Results, Spread};

const PAGE: &str = "docs/performance.md";
const IMAGE: &str = "images/performance.svg";
const START: &str = "<!-- generated: clusters -->\n";
const END: &str = "<!-- end: clusters -->";

/// The columns of the chart.
pub(crate) const COLUMNS: [Column; 4] = [
    Column::Fresh,
    Column::Prepared,
    Column::Reused,
    Column::Script,
];

/// The results of one-node cells with the config `default`, by the number of cells that run at once. With other
/// configs, cells don't do the same work as the script.
pub(crate) fn charted(results: &Results) -> Vec<(usize, &CaseResults)> {
    let charted = results
        .cases
        .iter()
        .filter_map(|results| match results.case {
            Case::Cells {
                cells,
                nodes: 1,
                config: Config::Default,
            } => Some((cells, results)),
            Case::Cells { .. } | Case::Matrix => None,
        });
    charted.collect()
}

/// The cost of `column` per cell.
pub(crate) fn per_cell(
    results: &CaseResults,
    column: Column,
    cells: usize,
) -> Option<Measured<Spread>> {
    let measured = results.columns.get(&column)?;
    Some(Measured {
        seconds: measured.seconds.per(cells),
        cpu_seconds: measured.cpu_seconds.per(cells),
    })
}

/// Writes the chart and the generated part of the page.
pub(crate) fn write(results: &Results) -> Result<()> {
    if charted(results).is_empty() {
        return Err("the results contain no case for the chart, such as `1x1-default`".into());
    }
    let text = fs::read_to_string(PAGE)?;
    let missing = || format!("{PAGE} does not contain the markers of its generated part");
    let (head, rest) = text.split_once(START).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(END).ok_or_else(missing)?;
    let part = part(results);
    fs::write(Path::new("docs").join(IMAGE), chart::svg(results))?;
    fs::write(PAGE, format!("{head}{START}{part}{END}{tail}"))?;
    println!("wrote {PAGE} and docs/{IMAGE}");
    Ok(())
}

fn part(results: &Results) -> String {
    let mut text =
        format!("![Seconds and CPU seconds per cell: the figures of the table below]({IMAGE})\n\n");
    text += "| At once | Column | Seconds per cell | CPU seconds per cell | Rounds |\n|---|---|---|---|---|\n";
    for (cells, case) in charted(results) {
        for column in COLUMNS {
            if let Some(Measured {
                seconds,
                cpu_seconds,
            }) = per_cell(case, column, cells)
            {
                let rounds = seconds.rounds;
                // Writing to a String can't fail.
                let _ = writeln!(
                    text,
                    "| {cells} | {column} | {seconds} | {cpu_seconds} | {rounds} |"
                );
            }
        }
    }
    text += "\n| Ratio | Measured | At most | |\n|---|---|---|---|\n";
    for outcome in &results.targets {
        let (title, ratio, at_most) = (&outcome.title, outcome.ratio, outcome.at_most);
        let verdict = if outcome.holds { "met" } else { "not met" };
        let _ = writeln!(text, "| {title} | {ratio:.2} | {at_most} | {verdict} |");
    }
    let (machine, versions) = (&results.machine, &results.versions);
    let _ = writeln!(
        text,
        "\nMedians; with several rounds, the minimum and the maximum are in brackets. Measured on {} processors with {} MiB of memory and {}, with \
         e2e-matrix {}, {}, {} and {}.",
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        versions.runner,
        versions.kind,
        versions.node_image,
        versions.engine
    );
    text
}
