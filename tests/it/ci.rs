//! Checks that `.ci/run` runs each test that is ignored by default.

use std::env;
use std::process::Command;

use regex::Regex;

/// A filterset in `.ci/run`: a test that matches `wanted` runs, unless it matches `unwanted`.
struct Selection {
    wanted: Regex,
    unwanted: Option<Regex>,
}

impl Selection {
    fn of(filterset: &str) -> Self {
        let mut parts = filterset.split(" - ").map(pattern);
        Self {
            wanted: parts.next().unwrap(),
            unwanted: parts.next(),
        }
    }

    fn contains(&self, name: &str) -> bool {
        let is_unwanted = self.unwanted.as_ref().is_some_and(|it| it.is_match(name));
        self.wanted.is_match(name) && !is_unwanted
    }
}

/// The names that `test(/pattern/)` or `test(=name)` matches.
fn pattern(term: &str) -> Regex {
    let inner = term
        .strip_prefix("test(")
        .and_then(|it| it.strip_suffix(')'));
    let inner = inner.unwrap_or_else(|| panic!("{term} is not a term that this test knows"));
    let exact = inner.strip_prefix('=').map(|name| format!("^{name}$"));
    Regex::new(&exact.unwrap_or_else(|| inner.trim_matches('/').to_owned())).unwrap()
}

#[test]
fn every_ignored_test_runs_in_ci() {
    let script = include_str!("../../.ci/run");
    let filtersets = script.split("-E '").skip(1);
    let selections: Vec<Selection> = filtersets
        .map(|rest| Selection::of(rest.split_once('\'').unwrap().0))
        .collect();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--list", "--ignored", "--format", "terse"]);
    let listed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let ignored = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let ignored: Vec<&str> = ignored.collect();
    assert!(ignored.contains(&"kind::faults::every_fault_fails_exactly_its_phase"));
    let runs = |name: &&&str| selections.iter().any(|selection| selection.contains(name));
    let forgotten: Vec<_> = ignored.iter().filter(|name| !runs(name)).collect();
    assert_eq!(forgotten, [] as [&&str; 0]);
}
