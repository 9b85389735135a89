//! The layout of tables and sentences in the summary.

use comfy_table::{Attribute, Cell, CellAlignment, Color, LineStyle, Table, TableStyle};

use crate::report::marks::Tone;
use crate::report::paint::Paint;
use crate::report::text;

/// A table with a line below its header and one space between columns.
pub(super) fn table(paint: Paint, head: impl IntoIterator<Item: Into<String>>) -> Table {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule));
    if paint.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let head = head.into_iter();
    let head = head.map(|text| Cell::new_owned(text.into()).add_attribute(Attribute::Bold));
    table.set_header(head.collect::<Vec<_>>());
    table
}

/// A table cell with a tone.
pub(super) fn toned(tone: Tone, text: String) -> Cell {
    let cell = Cell::new_owned(text);
    match tone {
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Quiet => cell.add_attribute(Attribute::Dim),
        Tone::Warning => cell.fg(Color::DarkYellow).add_attribute(Attribute::Bold),
        Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
    }
}

/// Right-aligns the columns in `right`, and sets the space between columns: two spaces before the first and after the
/// last column in `right`, and one space elsewhere.
pub(super) fn lay_out(table: &mut Table, right: &std::ops::Range<usize>) {
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_edge = index + 1 == right.start || index + 1 == right.end;
        column.set_padding((0, is_edge.into()));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The length of the longest line of a table without colors.
pub(super) fn table_width(table: &Table) -> usize {
    let lines = table.lines();
    let widths = lines.map(|line| line.trim_end().chars().count());
    widths.max().unwrap_or(0)
}

/// `text` in lines of at most `width` characters, wrapped at spaces and indented by `indent`. A longer word isn't
/// broken.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let options = text::wrapping(width)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false);
    match text.trim() {
        "" => String::new(),
        text => textwrap::fill(text, options) + "\n",
    }
}
