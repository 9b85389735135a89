//! The output of a command on stdout, and notices on stderr.

use std::io::{self, Write};

use super::error::CliError;

/// Prints `text` to stdout; `what` names it in the error. A closed pipe isn't an error.
pub(super) fn print(what: &str, text: &str) -> Result<(), CliError> {
    unless_closed(what, io::stdout().lock().write_all(text.as_bytes()))
}

/// Turns the result of writing `what` into the result of the command. It isn't an error if the reader closed the pipe
/// early.
pub(super) fn unless_closed(what: &str, written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CliError::io(format!("write {what}"))),
    }
}

/// Prints the line `text` to stderr.
pub(super) fn notice(text: &str) -> Result<(), CliError> {
    writeln!(io::stderr().lock(), "{text}").map_err(CliError::io("write to stderr"))
}
