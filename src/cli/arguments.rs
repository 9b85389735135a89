//! Reads the arguments of this process, and adds errors and help texts that clap doesn't provide.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error, FromArgMatches};

use super::Cli;
use super::error::CliError;

/// Options that were renamed: the old name and the current one.
const RENAMED: [(&str, &str); 4] = [
    ("out", "output-dir"),
    ("history", "timings"),
    ("timeout", "phase-timeout"),
    ("prefix", "cluster-prefix"),
];

/// The arguments of this process. Prints help, version and errors, and then exits.
pub(super) fn parse() -> Cli {
    let mut command = Cli::command();
    if std::env::args_os().any(|argument| argument == "-h") {
        command = brief(command);
    }
    let matches = command.try_get_matches();
    let arguments = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    arguments.unwrap_or_else(|error| with_new_name(error).exit())
}

/// Shortens the help to one line per option, so that it fits on one screen. Environment variables and possible values
/// are only in the long help.
fn brief(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let argument = argument.hide_env(true);
            if argument.is_positional() || !argument.get_action().takes_values() {
                return argument;
            }
            argument.hide_default_value(true).hide_possible_values(true)
        })
        .mut_subcommands(brief)
}

/// Adds the new name to an error about an option that was renamed.
fn with_new_name(mut error: Error) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let mut renamed = RENAMED.iter();
    let renamed = renamed.find(|(old, _)| unknown.strip_prefix("--") == Some(old));
    if let Some((old, new)) = renamed {
        let tip = format!("'--{old}' was renamed to '--{new}'");
        error.remove(ContextKind::SuggestedArg);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// Fails if the environment sets a renamed option by its old name, which would otherwise be ignored.
pub(super) fn check_environment() -> Result<(), CliError> {
    let variable = |option: &str| {
        let option = option.to_uppercase().replace('-', "_");
        format!("E2E_MATRIX_{option}")
    };
    for (old, new) in RENAMED {
        let (old, new) = (variable(old), variable(new));
        if std::env::var_os(&old).is_some() {
            return Err(CliError::rejected(
                format!("the environment variable {old} is set, but it was renamed to {new}"),
                format!("set {new} instead of {old}"),
            ));
        }
    }
    Ok(())
}
