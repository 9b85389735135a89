//! Options whose value is one of a few words.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A value of an option: the word, its meaning, and its description in the help.
pub(super) type Choice<T> = (&'static str, T, &'static str);

/// Parses one of the words in `choices`.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let words = choices
        .iter()
        .map(|(word, _, help)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(words).map(move |given| {
        let choice = choices.iter().find(|(word, ..)| *word == given);
        choice.expect("only these words are accepted").1
    })
}
