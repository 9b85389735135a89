//! Property tests with arbitrary text: each parser of external text returns a value or an error, and never panics.
//! `make fuzz` runs many more cases.

use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select as one_of};
use serde_json::Value;

use super::{
    AGES, Estimates, Filter, Jobs, Matrix, PortRange, RUN_TIMEOUTS, Shard, TIMEOUTS, Timings,
    parse_duration, reference, select,
};

/// The schema must accept each valid file.
static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&reference::schema()).expect("the schema is valid"));

const SHIPPED: &str = include_str!("../../matrix.toml");

/// Pieces of matrix files, and text that often breaks parsers.
const TOKENS: [&str; 58] = [
    "[matrix]",
    "[[matrix.include]]",
    "[[matrix.exclude]]",
    "[run]",
    "[phases.cleanup]",
    "[phases.readiness]",
    "[config.fast]",
    "[config.fast.expect]",
    "[images.agent]",
    "[kubernetes.\"1.30\"]",
    "[existing]",
    "kubernetes",
    "nodes",
    "config",
    "jobs",
    "ports",
    "retries",
    "retry-backoff",
    "retry-on",
    "timeout",
    "mock-timeout",
    "expect",
    "tags",
    "allow-failure",
    "registrations",
    "exactly",
    "=",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    " ",
    "\"",
    "'",
    "\"\"\"",
    "#",
    ".",
    "-",
    "0",
    "1",
    "-1",
    "18446744073709551615",
    "9223372036854775808",
    "0xffffffffffffffff",
    "1e400",
    "nan",
    "\"1.30\"",
    "\"4294967295.4294967295\"",
    "\"18446744073709551615s 999ms\"",
    "\"24h\"",
    "\"0-65535\"",
    "\"any\"",
    "true",
    "\u{0}",
    "\u{fffd}\u{301}",
    "1979-05-27",
];

/// Pieces of filters.
const WORDS: [&str; 24] = [
    "k8s",
    "nodes",
    "config",
    "tag",
    "newest",
    "n1",
    "default",
    "fast",
    "k8s-1.30",
    "and",
    "or",
    "not",
    "(",
    ")",
    ">=",
    "<",
    "=",
    "!=",
    "*",
    "1.30",
    "99999999999999999999",
    " ",
    "\u{301}",
    "\"",
];

/// A change: its place in the text, the number of characters to replace, and the token that replaces them.
type Change = (Index, usize, &'static str);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec((any::<Index>(), 0_usize..12, one_of(&TOKENS[..])), 0..8)
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, length, token) in changes {
        let start = place.index(characters.len() + 1);
        let end = characters.len().min(start + length);
        characters.splice(start..end, token.chars());
    }
    characters.into_iter().collect()
}

/// Parses `text`. If the text is valid, the schema has to accept it; if not, its problems are rendered.
fn read(text: &str) -> Result<(), TestCaseError> {
    match Matrix::parse("matrix.toml", text) {
        Ok(matrix) => {
            prop_assert!(matrix.cells.len() <= 200_000);
            let _digest = Estimates::new(&matrix.cells, &Timings::default()).digest();
            let file: Value = toml::from_str(text).expect("the text has been parsed before");
            let violation = SCHEMA.validate(&file).err();
            prop_assert!(
                violation.is_none(),
                "a valid file violates the schema: {violation:?}"
            );
        }
        Err(problems) => drop(format!("{:?}", miette::Report::new(problems))),
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_shipped_matrix_with_changes(changes in changes()) {
        read(&changed(SHIPPED, &changes))?;
    }

    #[test]
    fn a_matrix_of_tokens(tokens in vec(one_of(&TOKENS[..]), 0..60)) {
        read(&tokens.concat())?;
    }

    #[test]
    fn a_matrix_of_characters(text in any::<String>()) {
        read(&text)?;
    }

    #[test]
    fn a_filter(words in vec(one_of(&WORDS[..]), 0..40), text in any::<String>()) {
        let matrix = Matrix::parse("matrix.toml", SHIPPED).expect("the shipped file is valid");
        for text in [words.concat(), words.join(" "), text] {
            match Filter::parse(&text) {
                Ok(filter) => match select(&matrix, &[filter]) {
                    Ok(cells) => prop_assert!(cells.len() <= matrix.cells.len()),
                    Err(problems) => drop(format!("{:?}", miette::Report::new(problems))),
                },
                Err(problem) => drop(format!("{problem:?}")),
            }
        }
    }

    #[test]
    fn a_duration(text in "([0-9]{1,21} ?(ns|us|ms|s|m|h|days|months|years|.{0,3}) ?){0,4}") {
        for range in [TIMEOUTS, RUN_TIMEOUTS, AGES] {
            if let Ok(duration) = parse_duration(&text, &range) {
                prop_assert!(range.contains(&duration));
            }
        }
    }

    #[test]
    fn a_shard(text in "[0-9]{0,12}/[0-9]{0,12}|.{0,12}") {
        if let Ok(shard) = text.parse::<Shard>() {
            let matrix = Matrix::parse("matrix.toml", SHIPPED).expect("the shipped file is valid");
            let estimates = Estimates::new(&matrix.cells, &Timings::default());
            prop_assert!(shard.select(matrix.cells, &estimates).len() <= 14);
        }
    }

    #[test]
    fn ports_and_jobs(text in "[0-9]{0,7}-[0-9]{0,7}|.{0,12}", jobs in any::<usize>()) {
        if let Ok(PortRange::Between(ports)) = text.parse::<PortRange>() {
            prop_assert!(!ports.is_empty() && *ports.start() >= 1024);
        }
        prop_assert_eq!(Jobs::exactly(jobs).is_some(), (1..=Jobs::MAX).contains(&jobs));
    }
}
