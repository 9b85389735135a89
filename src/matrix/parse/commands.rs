//! `[[commands]]`: programs that run on the host after a phase.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checks::unique;
use super::phases;
use super::reader::{Entry, Located, Table};
use crate::matrix::Phase;
use crate::matrix::command::{CommandName, HostCommand};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;

/// The default timeout of a command.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The commands, in order.
pub(super) fn read(root: &Table<'_>) -> Vec<HostCommand> {
    let tables = root.tables("commands", "commands");
    let commands: Vec<_> = tables.iter().filter_map(command).collect();
    let names = commands
        .iter()
        .map(|command| (command.value.name.as_str(), command.span));
    unique(root, "command", names);
    commands.into_iter().map(|command| command.value).collect()
}

fn command(table: &Table<'_>) -> Option<Located<HostCommand>> {
    table.only(&["name", "after", "run", "timeout"]);
    let after = table.require("after", "after = \"periodic\"");
    let after = after.and_then(phase);
    let run = table.require("run", "run = [\"./check.sh\"]");
    let run = run.and_then(run_of);
    let timeout = match table.get("timeout") {
        Some(entry) => phases::duration(entry),
        None => Some(TIMEOUT),
    };
    let name = match (table.get("name"), &run) {
        (Some(entry), _) => name(entry),
        (None, Some((program, _))) => derived_name(table, program),
        (None, None) => None,
    };
    let (program, arguments) = run?;
    let name = name?;
    Some(Located {
        span: name.span,
        value: HostCommand {
            name: name.value,
            after: after?,
            program: program.value,
            arguments,
            timeout: timeout?,
            span: program.span,
        },
    })
}

fn name(entry: Entry<'_>) -> Option<Located<CommandName>> {
    entry.parsed(CommandName::parse, "for example `smoke-test`")
}

/// The default name, which is the program's file name.
fn derived_name(table: &Table<'_>, program: &Located<PathBuf>) -> Option<Located<CommandName>> {
    let file = program.value.file_name().unwrap_or_default();
    match CommandName::parse(&file.to_string_lossy()) {
        Ok(value) => Some(Located {
            value,
            span: program.span,
        }),
        Err(error) => {
            let message = format!("the program's file name can't be the command's name: {error}");
            table
                .report
                .add(Problem::at(program.span, message, "").with_help("give the command a `name`"));
            None
        }
    }
}

fn phase(entry: Entry<'_>) -> Option<Phase> {
    let phase = entry.choice(&Phase::ALL.map(|phase| (phase.name(), phase)))?;
    if !phase.can_be_followed() {
        let phases = Phase::ALL
            .into_iter()
            .filter(|phase| phase.can_be_followed());
        entry.problem(
            format!("no command can follow `{phase}`: it needs agents and the mock"),
            "",
            format!("these can be followed: {}", quoted(phases)),
        );
        return None;
    }
    Some(phase)
}

/// The program, and its arguments.
fn run_of(entry: Entry<'_>) -> Option<(Located<PathBuf>, Vec<String>)> {
    let elements = entry.list()?;
    let Some((program, arguments)) = elements.split_first() else {
        entry.problem(
            "`run` is empty",
            "",
            "name a program: `run = [\"./check.sh\"]`",
        );
        return None;
    };
    let path = program
        .plain_text()
        .map(|text| program.located(Path::new(text).to_owned()));
    let arguments: Vec<_> = arguments.iter().map(|entry| argument(*entry)).collect();
    Some((path?, arguments.into_iter().collect::<Option<_>>()?))
}

fn argument(entry: Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if text.contains('\0') {
        entry.problem("an argument can't contain a NUL character", "", "remove it");
        return None;
    }
    Some(text.to_owned())
}
