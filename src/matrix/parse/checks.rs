//! `[[checks]]` and `[[commands]]`: what the file adds to the suite.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::keys::{Table, keys};
use super::reader::Located;
use super::shape::{Shape, boolean, choice, duration, name, parsed, path, text};
use super::to_json;
use crate::matrix::checks::{BodyCheck, Condition, JsonType, Pattern, Pointer};
use crate::matrix::command::{CommandName, HostCommand};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;
use crate::matrix::{Counter, Phase};

/// The keys of the conditions, of which each check has exactly one.
const CONDITIONS: [&str; 4] = ["present", "type", "equals", "matches"];

/// An entry of `[[checks]]`.
pub(super) fn check(keys: &mut Table<'_>) -> Option<Located<BodyCheck>> {
    let (mut given_name, mut endpoint, mut pointer, mut condition) = (None, None, None, None);
    let endpoints = Counter::ALL
        .into_iter()
        .filter_map(|counter| Some((counter.body()?, counter)));
    let pointer_help = "for example `/status/0`; an empty pointer refers to the whole body";
    let pattern_help = "see https://docs.rs/regex for the syntax";
    keys! { keys;
        /// The name of the check in reports; by default its endpoint and pointer. Each check needs its own name.
        "name": name().located() => given_name;
        /// `"register"`, `"heartbeat"`, `"capabilities"`, `"drift"`, `"metrics"`, `"logs"`, `"audit"`,
        /// `"local_metrics"`, `"local_logs"` or `"local_audit"`
        "endpoint": choice(endpoints) => endpoint, required "\"heartbeat\"";
        /// A JSON pointer (RFC 6901) to the value, such as `"/status/0"`; `""` refers to the whole body.
        "pointer": parsed(Pointer::parse, pointer_help) => pointer, required "\"/timestamp\"";
        /// The value exists, even if it is `null`.
        "present": present() => condition;
        /// The value is a `"string"`, `"number"`, `"boolean"`, `"array"`, `"object"` or `"null"`.
        "type": choice(JsonType::NAMES).map(Condition::Type) => condition;
        /// The value is equal to this one. `1` and `1.0` are the same number.
        "equals": Shape::new(json!({}), to_json::plain).map(Condition::Equals) => condition;
        /// The value is a string in which this [regular expression](https://docs.rs/regex) finds a match.
        "matches": parsed(Pattern::parse, pattern_help).map(Condition::Matches) => condition;
    }
    let given: Vec<_> = CONDITIONS.iter().filter_map(|key| keys.get(key)).collect();
    if given.len() != 1 {
        let (count, place) = match given.last() {
            None => ("no condition", keys.span),
            Some(last) => ("more than one condition", last.key_span),
        };
        let help = format!("give it exactly one of {}", quoted(CONDITIONS));
        let problem = Problem::at(place, format!("this check has {count}"), help);
        keys.document.report_missing(problem);
    }
    let (endpoint, pointer) = (endpoint?, pointer?);
    let name = match keys.get("name") {
        Some(_) => given_name?,
        None => Located {
            value: format!("{}{pointer}", endpoint.body().unwrap_or_default()),
            span: keys.span,
        },
    };
    Some(name.with(BodyCheck {
        name: name.value.clone(),
        endpoint,
        pointer,
        condition: condition?,
    }))
}

fn present() -> Shape<Condition> {
    let present = boolean().checked(
        |is_present, _| (!is_present).then_some("`present` can only be `true`"),
        "remove the check",
    );
    let present = present.map(|_| Condition::Present);
    present.with("enum", [true].as_slice())
}

/// An entry of `[[commands]]`.
pub(super) fn command(keys: &mut Table<'_>) -> Option<Located<HostCommand>> {
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
    let name = match keys.get("name") {
        Some(_) => name?,
        None => derived_name(keys, &program)?,
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
    let name = CommandName::parse(&file.to_string_lossy()).map_err(|error| {
        let message = format!("the program's file name isn't valid as the command's name: {error}");
        let problem = Problem::at(program.span, message, "give the command a `name`");
        table.document.report(problem);
    });
    name.ok().map(|name| program.with(name))
}

fn phase() -> Shape<Phase> {
    let phases = Phase::ALL.into_iter();
    let followed = phases.filter(|phase| phase.can_be_followed());
    let followed: Vec<_> = followed.map(Phase::name).collect();
    let problem = |phase: &Phase, _: &str| {
        let message =
            || format!("no command can run after `{phase}`: commands need the agents and the mock");
        (!phase.can_be_followed()).then(message)
    };
    let help = format!("commands can run after {}", quoted(&followed));
    choice(Phase::NAMES)
        .checked(problem, help)
        .with("enum", followed)
}

/// The program, and its arguments.
fn run() -> Shape<(Located<PathBuf>, Vec<String>)> {
    let program = path().located();
    let argument = text().checked(
        |text, _| {
            let message = "an argument can't contain a NUL character";
            text.contains('\0').then_some(message)
        },
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
