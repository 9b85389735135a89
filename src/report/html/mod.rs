//! `report.html`: the whole run on one page without scripts, network access or other files.
//!
//! The template only lays out the model and the prepared views, and escapes all text.

mod cell;
mod view;

use std::io::{self, Write};

use askama::Template;

use crate::record::model::RunModel;

/// Writes the page.
pub(super) fn write(run: &RunModel, out: &mut impl Write) -> io::Result<()> {
    view::Page::new(run).write_into(out)
}

#[cfg(test)]
mod tests;
