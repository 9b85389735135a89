//! Texts that are generated from the definition of the command line: completions, manual and reference pages.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use clap::CommandFactory;
use clap_complete::Shell;
use regex::Regex;

use super::error::CliError;
use super::options::Format;
use super::{Cli, Exit, streams};

/// Prints the completion script of `shell` on stdout.
pub(super) fn completions(shell: Shell) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "e2e-matrix", &mut script);
    streams::print("the completion script", &String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}

/// Writes the manual pages of all public commands into `folder`.
pub(super) fn manual(folder: &Path) -> Result<Exit, CliError> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(CliError::unwritten(folder))?;
    Ok(Exit::Passed)
}

/// Prints the JSON Schema of a format.
pub(super) fn schema(format: Format) -> Result<Exit, CliError> {
    let text = match format {
        Format::Events => events_schema(),
        Format::Matrix => matrix_schema(),
    };
    streams::print("the schema", &text)?;
    Ok(Exit::Passed)
}

/// The page `docs/cli.md`: the help of all public commands.
pub fn command_line() -> String {
    let mut page = "# Command line\n\nGenerated from the program's own definition. `e2e-matrix` without a command is the same as `e2e-matrix run`.\n".to_owned();
    let mut root = Cli::command();
    root.build();
    let public =
        |command: &&mut clap::Command| !command.is_hide_set() && command.get_name() != "help";
    // Writing to a string can't fail.
    for command in root.get_subcommands_mut().filter(public) {
        let name = command.get_name().to_owned();
        let help = command
            .clone()
            // Values from this machine's environment don't belong on the page.
            .mut_args(|argument| argument.hide_env_values(true))
            .term_width(100)
            .render_long_help()
            .to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        let text = lines.join("\n");
        let text = text.trim_end();
        let _ = write!(page, "\n## `e2e-matrix {name}`\n\n```text\n{text}\n```\n");
    }
    page
}

/// The file `docs/schema/events.json`, which is also the output of `schema events`.
pub fn events_schema() -> String {
    // `{:#}` pretty-prints JSON.
    format!("{:#}\n", crate::event::schema().as_value())
}

/// The file `docs/schema/matrix.schema.json`, which is also the output of `schema matrix`.
pub fn matrix_schema() -> String {
    let text = format!("{:#}\n", crate::matrix::reference::schema());
    // Patterns contain text that looks like a link, too.
    let lines = text.split_inclusive('\n');
    let is_prose = |line: &str| line.trim_start().starts_with("\"description\":");
    let lines = lines.map(|line| match line {
        prose if is_prose(prose) => without_targets(prose),
        other => other.into(),
    });
    lines.collect()
}

/// `markdown` without the targets of links, which are relative to the documentation, so they are useless elsewhere.
pub(super) fn without_targets(markdown: &str) -> Cow<'_, str> {
    LINK.replace_all(markdown, "$1")
}

/// A link in Markdown.
static LINK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[([^\[\]]+)\]\([^()]+\)").expect("it is a regular expression"));

/// The page `docs/exit-codes.md`.
pub fn exit_codes() -> String {
    let mut page = "# Exit codes\n\nGenerated from the table in the code. If several of them apply, the first one is the exit code.\n\n| Code | When |\n|---|---|\n".to_owned();
    for (exit, when) in Exit::TABLE {
        // Writing to a string can't fail.
        let _ = writeln!(page, "| {} | {when} |", exit.code());
    }
    page
}
