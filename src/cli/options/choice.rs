//! Options whose value is one of a few words.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parses the name of one of `choices`: values, each with its description in the help.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    choices: &'static [(T, &'static str)],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = choices.iter();
    let values = values.map(|(value, help)| PossibleValue::new(name(*value)).help(*help));
    PossibleValuesParser::new(values).map(move |given| {
        let mut values = choices.iter().map(|(value, _)| *value);
        let value = values.find(|value| name(*value) == given);
        value.expect("only these names are accepted")
    })
}
