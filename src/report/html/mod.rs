//! `report.html`: the whole run on one page without scripts, network access or other files.
//!
//! The template only lays out the prepared views, and escapes every text.

mod cell;
mod view;

use askama::Template;

use crate::record::model::RunModel;

/// The page.
#[expect(clippy::missing_panics_doc, reason = "writing to memory does not fail")]
pub fn render(run: &RunModel) -> String {
    view::Page::new(run)
        .render()
        .expect("writing to memory can't fail, and the page has no other error")
}

#[cfg(test)]
mod tests;
