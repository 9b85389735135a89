//! `schema`: prints the JSON Schema of a format.

use super::error::CliError;
use super::exit::Exit;
use super::options::Format;
use super::{reference, stdout};

pub(super) fn run(format: Format) -> Result<Exit, CliError> {
    let text = match format {
        Format::Events => reference::events_schema(),
    };
    stdout::print("the schema", Ok(text))?;
    Ok(Exit::Passed)
}
