//! `[[checks]]`, the conditions for request bodies beyond those for every agent. Includes `[[commands]]`, which have
//! their own reader.

use std::collections::BTreeMap;

use miette::SourceSpan;

use super::reader::{Entry, Located, Table};
use super::{commands, from_env, json};
use crate::matrix::Counter;
use crate::matrix::checks::{BodyCheck, Checks, Condition, JsonType, Pattern, Pointer};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;

/// The checks and commands of the file.
pub(super) fn read(root: &Table<'_>) -> Checks {
    let tables = root.tables("checks", "checks");
    let bodies: Vec<_> = tables.iter().filter_map(body_check).collect();
    let names = bodies
        .iter()
        .map(|check| (check.value.name.as_str(), check.span));
    unique(root, "check", names);
    Checks {
        bodies: bodies.into_iter().map(|check| check.value).collect(),
        commands: commands::read(root),
    }
}

/// Reports names that occur twice. `what` says what they are names of.
pub(super) fn unique<'n>(
    root: &Table<'_>,
    what: &str,
    names: impl Iterator<Item = (&'n str, SourceSpan)>,
) {
    let mut seen: BTreeMap<&str, SourceSpan> = BTreeMap::new();
    for (name, span) in names {
        if let Some(first) = seen.insert(name, span) {
            let problem = Problem::at(span, format!("two {what}s have the name `{name}`"), "again");
            root.report.add(
                problem
                    .and_at(first, "first here")
                    .with_help(format!("give each {what} its own `name`")),
            );
        }
    }
}

/// The conditions, of which each check has exactly one.
const CONDITIONS: [&str; 4] = ["present", "type", "equals", "matches"];

fn body_check(table: &Table<'_>) -> Option<Located<BodyCheck>> {
    table.only(&[&["name", "endpoint", "pointer"][..], &CONDITIONS].concat());
    let name = table.get("name");
    let endpoint = table.require("endpoint", "endpoint = \"heartbeat\"");
    let endpoint = endpoint.and_then(|entry| self::endpoint(entry));
    let pointer = table.require("pointer", "pointer = \"/timestamp\"");
    let pointer = pointer.and_then(|entry| {
        entry.parsed(
            Pointer::parse,
            "for example `/status/0`; an empty one is the whole body",
        )
    });
    let condition = condition(table);
    let own_name = match name {
        Some(entry) => Some(entry.plain_text()?.to_owned()),
        None => None,
    };
    let (endpoint, pointer) = (endpoint?, pointer?.value);
    let derived = || format!("{}{pointer}", endpoint.body().unwrap_or_default());
    Some(Located {
        span: name.map_or(table.span, |entry| entry.span),
        value: BodyCheck {
            name: own_name.unwrap_or_else(derived),
            endpoint,
            pointer,
            condition: condition?,
        },
    })
}

fn endpoint(entry: Entry<'_>) -> Option<Counter> {
    let all = Counter::all().filter_map(|counter| Some((counter.body()?, counter)));
    entry.choice(&all.collect::<Vec<_>>())
}

fn condition(table: &Table<'_>) -> Option<Condition> {
    let given: Vec<_> = CONDITIONS
        .into_iter()
        .filter_map(|key| table.get(key))
        .collect();
    let [entry] = given[..] else {
        let (count, place) = match given.last() {
            None => ("no condition", table.span),
            Some(last) => ("more than one condition", last.key_span),
        };
        table.report.add_missing(
            Problem::at(place, format!("a check has {count}"), "")
                .with_help(format!("give it exactly one of {}", quoted(CONDITIONS))),
        );
        return None;
    };
    match entry.key {
        "present" => present(entry),
        "type" => entry.choice(&JsonType::NAMES).map(Condition::Type),
        "matches" => {
            let help = "the syntax is that of https://docs.rs/regex";
            let pattern = entry.parsed(Pattern::parse, help)?;
            Some(Condition::Matches(pattern.value))
        }
        _ => equals(table, entry),
    }
}

fn present(entry: Entry<'_>) -> Option<Condition> {
    let is_present = entry.boolean()?;
    if !is_present {
        entry.problem("`present` can only be `true`", "", "remove the check");
    }
    is_present.then_some(Condition::Present)
}

fn equals(table: &Table<'_>, entry: Entry<'_>) -> Option<Condition> {
    let is_plain = from_env::reject(table, "`equals`");
    let value = json::value(entry)?;
    is_plain.then_some(Condition::Equals(value))
}
