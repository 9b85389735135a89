//! `gc`: deletes resources of dead runs, and shows the results.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::error::CliError;
use super::exit::Exit;
use super::options::GarbageOptions;
use super::{runtime, streams};
use crate::machine::StateFolder;
use crate::machine::process::quoted;
use crate::report::aligned;
use crate::runner::{self, GcOptions, GcRow};

pub(super) fn run(options: &GarbageOptions) -> Result<Exit, CliError> {
    let wanted = GcOptions {
        dry_run: options.dry_run,
        kept: options.kept || options.all,
        cache: options.all,
        older_than: options.older_than,
    };
    let state = StateFolder::of_user();
    let rows = runtime::block_on(runner::gc(&state, wanted))?;
    let text = if options.json {
        json(&rows)
    } else {
        table(&rows, options.dry_run)
    };
    streams::print("the list of resources", &(text + "\n"))?;
    Ok(if rows.iter().any(|row| row.outcome.is_failure()) {
        Exit::Infrastructure
    } else {
        Exit::Passed
    })
}

/// The shell command that deletes resources of dead runs, for a binary that was started as `program`.
pub(super) fn command(program: &OsStr) -> String {
    let program = quoted(&program.to_string_lossy());
    match StateFolder::of_environment() {
        Some(state) => {
            let folder = quoted(&state.path().to_string_lossy());
            format!("{}={folder} {program} gc", StateFolder::VARIABLE)
        }
        None => format!("{program} gc"),
    }
}

/// The shell command that deletes resources of dead runs. The command starts with the name under which this process was
/// started, or with the path `runner` of the binary if that name isn't known.
pub(super) fn own_command(runner: &Path) -> String {
    let program = std::env::args_os().next();
    command(program.as_deref().unwrap_or(runner.as_os_str()))
}

fn table(rows: &[GcRow], dry_run: bool) -> String {
    if rows.is_empty() {
        return "dead runs left no resources behind".to_owned();
    }
    let line = |row: &GcRow| {
        [
            row.run.clone().unwrap_or_default(),
            row.age.map(rounded).unwrap_or_default(),
            row.resource.clone(),
            row.outcome.name().to_owned(),
            row.outcome.detail(),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    let header = ["run", "age", "resource", "outcome", ""];
    let mut text = aligned(&header, &lines);
    if dry_run {
        text.push_str("\n\nthis was a dry run: nothing was deleted");
    }
    text
}

/// `age` in its largest unit, rounded down.
fn rounded(age: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86400, "d"), (3600, "h"), (60, "m")];
    let seconds = age.as_secs();
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= *length);
    let (length, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / length)
}

/// A row in the format of `--json`.
#[derive(Serialize)]
struct Row<'r> {
    run: Option<&'r str>,
    age_seconds: Option<u64>,
    resource: &'r str,
    outcome: &'static str,
    detail: String,
}

fn json(rows: &[GcRow]) -> String {
    let rows = rows.iter().map(|row| Row {
        run: row.run.as_deref(),
        age_seconds: row.age.map(|age| age.as_secs()),
        resource: &row.resource,
        outcome: row.outcome.name(),
        detail: row.outcome.detail(),
    });
    let rows: Vec<_> = rows.collect();
    serde_json::to_string_pretty(&rows).expect("names and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let rounded = |seconds| rounded(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 60, 7199, 86400 * 3].map(rounded),
            ["0s", "59s", "1m", "1h", "3d"]
        );
    }
}
