//! `[[commands]]`: programs that run on the host after a phase.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::keys::{Keys, keys};
use super::reader::{Located, Table};
use super::shape::{Shape, choice, duration, parsed, path, text};
use crate::matrix::Phase;
use crate::matrix::command::{CommandName, HostCommand};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;

/// An entry of `[[commands]]`.
pub(super) fn command(keys: &mut Keys<'_>) -> Option<Located<HostCommand>> {
    let (mut name, mut after, mut program) = (None, None, None);
    let mut timeout = Duration::from_secs(60);
    keys! { keys;
        /// The name in reports: letters, digits, `.`, `_` and `-`, at most 60 characters; by default the program's
        /// file name. Each command needs its own name, and it must not be the name of a phase.
        "name": parsed(CommandName::parse, "for example `smoke-test`").located() => name;
        /// The phase after which the command runs: `readiness` or a later one except `cleanup`.
        "after": phase() => after, required "\"periodic\"";
        /// The program and its arguments. A path is relative to the matrix file; a bare name is looked up on the
        /// `PATH`.
        "run": run() => program, required "[\"./check.sh\"]";
        /// The timeout: greater than zero and at most 24 hours. A command that takes longer fails.
        "timeout": duration() => timeout;
    }
    let (program, arguments) = program?;
    let name = match keys.table.get("name") {
        Some(_) => name?,
        None => derived_name(&keys.table, &program)?,
    };
    Some(name.with(HostCommand {
        name: name.value.clone(),
        after: after?,
        program: program.value,
        arguments,
        timeout,
        span: program.span,
    }))
}

/// The default name: the program's file name.
fn derived_name(table: &Table<'_>, program: &Located<PathBuf>) -> Option<Located<CommandName>> {
    let file = program.value.file_name().unwrap_or_default();
    match CommandName::parse(&file.to_string_lossy()) {
        Ok(value) => Some(program.with(value)),
        Err(error) => {
            let message =
                format!("the program's file name isn't valid as the command's name: {error}");
            let help = "give the command a `name`";
            table.report.add(Problem::at(program.span, message, help));
            None
        }
    }
}

fn phase() -> Shape<Phase> {
    let followed = Phase::NAMES.into_iter();
    let followed = followed.filter(|(_, phase)| phase.can_be_followed());
    let followed: Vec<_> = followed.map(|(name, _)| name).collect();
    let phase = choice(Phase::NAMES).checked(
        |phase| phase.can_be_followed(),
        |phase, _| {
            format!("no command can run after `{phase}`: commands need the agents and the mock")
        },
        format!("commands can run after {}", quoted(&followed)),
    );
    phase.with("enum", followed)
}

/// The program, and its arguments.
fn run() -> Shape<(Located<PathBuf>, Vec<String>)> {
    let program = path().located();
    let argument = text().checked(
        |text| !text.contains('\0'),
        |_, _| "an argument can't contain a NUL character",
        "remove it",
    );
    let schema = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    Shape::new(schema, move |entry| {
        let elements = entry.list()?;
        let Some((first, rest)) = elements.split_first() else {
            let help = "add the program: `run = [\"./check.sh\"]`";
            return entry.fail("`run` is empty", help);
        };
        let program = program.read(*first);
        // Every argument is read, so that all problems are reported together.
        let arguments: Vec<_> = rest.iter().map(|entry| argument.read(*entry)).collect();
        Some((program?, arguments.into_iter().collect::<Option<_>>()?))
    })
}
