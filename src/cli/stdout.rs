//! What a command prints as its result.

use std::io::{self, Write};

use super::error::CliError;

/// Prints `text` to stdout; `what` it is goes into the error. A reader that has seen enough and is gone is no error.
pub(super) fn print(what: &'static str, text: io::Result<String>) -> Result<(), CliError> {
    let written = text.and_then(|text| io::stdout().lock().write_all(text.as_bytes()));
    match written {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Write { what, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
