//! `schema`: prints the JSON Schema of a format.

use std::io::{self, Write};

use super::error::CliError;
use super::exit::Exit;
use super::options::Format;
use super::reference;

pub(super) fn run(format: Format) -> Result<Exit, CliError> {
    let text = match format {
        Format::Events => reference::events_schema(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(Exit::Passed),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Passed),
        Err(source) => Err(CliError::Write {
            what: "the schema",
            source,
        }),
    }
}
