//! The user's programs that run on the host after a phase.

use std::path::PathBuf;
use std::time::Duration;

use miette::SourceSpan;

use super::names::NameError;
use super::{Matrix, Phase, Problem, Problems, text_types};

/// An entry of `[[commands]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCommand {
    /// The name in reports and files.
    pub name: CommandName,
    /// The phase after which the command runs.
    pub after: Phase,
    /// The program as written in the file, until [`locate_programs`] replaces it with its path.
    pub program: PathBuf,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// The timeout.
    pub timeout: Duration,
    /// Where the file names the program.
    pub(super) span: SourceSpan,
}

/// A command's name. A file and a test case are named after it, so it consists of letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandName(String);

impl CommandName {
    /// The maximum length.
    pub const MAX: usize = 60;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || !text.chars().all(is_valid) || text.len() > Self::MAX {
            return Err(NameError::new(format!(
                "a command's name consists of letters, digits, `.`, `_` and `-`, starts with a letter or digit, and has at most {} characters",
                Self::MAX
            )));
        }
        if Phase::from_name(text).is_some() || ["cell", "flaky"].contains(&text) {
            let message = "every cell already has a test case with this name";
            return Err(NameError::new(message));
        }
        Ok(Self(text.to_owned()))
    }
}

text_types!(CommandName);

/// Replaces the program of each command in `matrix` with its path. `name` and `text` are the name and content of the
/// matrix file. `find` returns the path of a program, or the reason why the program can't run.
///
/// # Errors
/// Returns each program that can't run, with its place in the file.
pub fn locate_programs(
    matrix: &mut Matrix,
    (name, text): (&str, &str),
    find: impl Fn(&std::path::Path) -> Result<PathBuf, String>,
) -> Result<(), Problems> {
    let mut problems = Vec::new();
    for command in &mut matrix.checks.commands {
        match find(&command.program) {
            Ok(path) => command.program = path,
            Err(reason) => {
                let help = "a path is relative to the matrix file's folder; a bare name is looked up on the PATH";
                problems.push(Problem::at(command.span, reason, help));
            }
        }
    }
    Problems::err_if_any(name, text, problems)
}
