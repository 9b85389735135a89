//! The programs that the user runs on the host after a phase.

use std::path::PathBuf;
use std::time::Duration;

use miette::SourceSpan;

use super::{Matrix, Phase, Problem, Problems, text_types};

/// One of `[[commands]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCommand {
    /// The name in reports and files.
    pub name: CommandName,
    /// The phase that it follows.
    pub after: Phase,
    /// The program as named in the file, until [`locate`] replaces it with its path.
    pub program: PathBuf,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Its timeout.
    pub timeout: Duration,
    /// Where the file names the program.
    pub(super) span: SourceSpan,
}

/// A command's name: letters, digits, `.`, `_` and `-`, because it becomes the name of a file and of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandName(String);

/// A text isn't a valid name for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandNameError {
    /// It has wrong characters or is too long.
    #[error(
        "a command's name has letters, digits, `.`, `_` and `-`, begins with a letter or digit, and has at most {max} characters",
        max = CommandName::MAX
    )]
    Form,
    /// A phase or another test case of a cell has this name.
    #[error("every cell has a test case of that name already")]
    Taken,
}

impl CommandName {
    /// The most characters.
    pub const MAX: usize = 60;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, CommandNameError> {
        let characters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || !text.chars().all(characters) || text.len() > Self::MAX {
            return Err(CommandNameError::Form);
        }
        let mut taken = Phase::ALL
            .map(Phase::name)
            .into_iter()
            .chain(["cell", "flaky"]);
        if taken.any(|name| name == text) {
            return Err(CommandNameError::Taken);
        }
        Ok(Self(text.to_owned()))
    }
}

text_types!(CommandName);

/// Replaces the program of every command in `matrix` with its path. `name` and `text` are those of the parsed file;
/// `find` returns the path of a program, or why it can't be run.
///
/// # Errors
/// Each program that can't be run, with its place.
pub fn locate(
    matrix: &mut Matrix,
    (name, text): (&str, &str),
    find: impl Fn(&std::path::Path) -> Result<PathBuf, String>,
) -> Result<(), Problems> {
    let mut problems = Vec::new();
    for command in &mut matrix.checks.commands {
        match find(&command.program) {
            Ok(path) => command.program = path,
            Err(fault) => {
                let help = "a path is relative to the matrix file's folder; a bare name is looked up on the PATH";
                problems.push(Problem::at(command.span, fault, "").with_help(help));
            }
        }
    }
    Problems::of(name, text, problems).map_or(Ok(()), Err)
}
