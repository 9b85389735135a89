//! The output of a command on stdout, and notices on stderr.

use std::io::{self, Write};

use super::error::CliError;

/// Prints `text` to stdout; `what` names it in the error. A closed pipe isn't an error.
pub(super) fn print(what: &'static str, text: io::Result<String>) -> Result<(), CliError> {
    let written = text.and_then(|text| io::stdout().lock().write_all(text.as_bytes()));
    match written {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Write { what, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints the line `text` to stderr.
pub(super) fn notice(text: &str) -> Result<(), CliError> {
    writeln!(io::stderr().lock(), "{text}").map_err(|source| CliError::Write {
        what: "to stderr",
        source,
    })
}
