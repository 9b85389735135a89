//! The chart as SVG: seconds on the left, CPU seconds on the right, each per cell.

use std::fmt::Write as _;

use super::column::Column;
use super::page::{COLUMNS, charted, per_cell};
use super::results::{Measured, Results, Spread};

/// The width of the image. All lengths are in the image's units.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 380.0;
/// The upper end of the bars; the next constant is their lower end.
const TOP: f64 = 90.0;
const BOTTOM: f64 = 320.0;
/// The left end and the width of each of the two panels.
const PANELS: [f64; 2] = [60.0, 500.0];
const PANEL: f64 = 370.0;
const BAR: f64 = 16.0;

/// One panel: its title, its left end, and the bars of each group.
struct Panel {
    title: &'static str,
    left: f64,
    groups: Vec<(usize, Vec<(Column, Spread)>)>,
}

/// The chart.
pub(crate) fn svg(results: &Results) -> String {
    let panel = |title, left, pick: fn(Measured<Spread>) -> Spread| {
        let groups = charted(results).into_iter().map(|(cells, case)| {
            let bar = |column| Some((column, pick(per_cell(case, column, cells)?)));
            (cells, COLUMNS.into_iter().filter_map(bar).collect())
        });
        Panel {
            title,
            left,
            groups: groups.collect(),
        }
    };
    let panels = [
        panel("Seconds per cell", PANELS[0], |it| it.seconds),
        panel("CPU seconds per cell", PANELS[1], |it| it.cpu_seconds),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Seconds and CPU seconds per cell</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for (number, column) in (0_u8..).zip(COLUMNS) {
        let x = PANELS[0] + 140.0 * f64::from(number);
        square(&mut svg, x, 20.0, column);
        text(&mut svg, x + 20.0, 32.0, "start", &column.to_string());
    }
    for panel in &panels {
        panel.draw(&mut svg);
    }
    text(
        &mut svg,
        WIDTH / 2.0,
        HEIGHT - 12.0,
        "middle",
        "cells at once",
    );
    svg + "</svg>\n"
}

impl Panel {
    fn draw(&self, svg: &mut String) {
        let bars = self.groups.iter().flat_map(|(_, bars)| bars);
        let step = step(bars.map(|(_, spread)| spread.most).fold(0.0, f64::max));
        let scale = |value: f64| BOTTOM - (BOTTOM - TOP) * value / (4.0 * step);
        text(svg, self.left, TOP - 20.0, "start", self.title);
        for line in 0..=4 {
            let value = step * f64::from(line);
            let y = scale(value);
            let right = self.left + PANEL;
            put(
                svg,
                &format!(
                    "<path d=\"M{} {y} H{right}\" stroke=\"#dddddd\"/>",
                    self.left
                ),
            );
            text(svg, self.left - 6.0, y + 4.0, "end", &value.to_string());
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of groups")]
        let width = PANEL / self.groups.len() as f64;
        let mut left = self.left;
        for (cells, bars) in &self.groups {
            let middle = left + width / 2.0;
            #[expect(clippy::cast_precision_loss, reason = "a number of bars")]
            let mut x = middle - BAR * bars.len() as f64 / 2.0;
            for (column, spread) in bars {
                bar(svg, x, *column, *spread, scale);
                x += BAR;
            }
            text(svg, middle, BOTTOM + 20.0, "middle", &cells.to_string());
            left += width;
        }
    }
}

/// A bar as high as the median, and a line from the minimum to the maximum.
fn bar(svg: &mut String, x: f64, column: Column, spread: Spread, scale: impl Fn(f64) -> f64) {
    let (top, least, most) = (
        scale(spread.median),
        scale(spread.least),
        scale(spread.most),
    );
    let (height, middle, fill) = (BOTTOM - top, x + BAR / 2.0, color(column));
    let width = BAR - 2.0;
    put(
        svg,
        &format!(
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width}\" height=\"{height:.1}\" fill=\"{fill}\"><title>{column}: {spread}</title></rect>\n\
             <path d=\"M{middle:.1} {least:.1} V{most:.1}\" stroke=\"#222222\"/>"
        ),
    );
}

fn square(svg: &mut String, x: f64, y: f64, column: Column) {
    let fill = color(column);
    put(
        svg,
        &format!("<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{fill}\"/>"),
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    put(
        svg,
        &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{text}</text>"
        ),
    );
}

fn put(svg: &mut String, element: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(svg, "{element}");
}

/// A palette that people with a color vision deficiency can tell apart (Okabe and Ito).
const fn color(column: Column) -> &'static str {
    match column {
        Column::Fresh | Column::Baseline => "#56b4e9",
        Column::Prepared | Column::First => "#0072b2",
        Column::Reused | Column::Second => "#009e73",
        Column::Script | Column::Bare => "#e69f00",
    }
}

/// The distance between five lines that cover 0 to at least `most`: 1, 2 or 5 times a power of ten.
fn step(most: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0].map(|digit| digit * power) {
            if 4.0 * step >= most {
                return step;
            }
        }
        power *= 10.0;
    }
}
