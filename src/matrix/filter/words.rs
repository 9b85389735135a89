//! The words and symbols of the filter language, and the errors of its parsers.

use std::ops::Range;

use winnow::combinator::{alt, opt, terminated};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{take_till, take_while};

use crate::matrix::problem::Problem;

/// The operators that are words. They can be terms only in quotes.
const KEYWORDS: [&str; 3] = ["not", "and", "or"];

/// Whether a bare word may contain `character`.
fn is_word_character(character: char) -> bool {
    !character.is_whitespace() && !"()&|!=<>,\"'".contains(character)
}

/// The remaining text, with the current depth as state.
pub(super) type Input<'t> = Stateful<LocatingSlice<&'t str>, usize>;

/// The result of a parser.
pub(super) type Parsed<T> = winnow::Result<T, ErrMode<Problem>>;

/// An error at `span`, after which the parser tries no alternatives.
pub(super) fn failure<T>(
    span: Range<usize>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Parsed<T> {
    Err(ErrMode::Cut(Problem::at(span, message, help)))
}

impl<'t> ParserError<Input<'t>> for Problem {
    type Inner = Self;

    fn from_input(input: &Input<'t>) -> Self {
        let (span, found) = upcoming(input);
        let help = "a term is a part of a cell's id (`k8s-1.30`, `n3`, `fast`) or a comparison (`nodes > 1`)";
        let message = format!("expected a term, found {found}");
        Self::at(span, message, help)
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// A word or quoted text, with its place.
#[derive(Debug)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) span: Range<usize>,
}

impl Word<'_> {
    /// An error at this word.
    pub(super) fn failure<T>(
        &self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Parsed<T> {
        failure(self.span.clone(), message, help)
    }
}

/// A bare word that isn't a keyword, or quoted text, followed by optional whitespace.
pub(super) fn word<'t>(input: &mut Input<'t>) -> Parsed<Word<'t>> {
    let bare = bare.verify(|text: &str| !KEYWORDS.contains(&text));
    let (text, span) = alt((bare, in_quotes)).with_span().parse_next(input)?;
    space(input)?;
    Ok(Word { text, span })
}

/// Optional whitespace.
pub(super) fn space<'t>(input: &mut Input<'t>) -> Parsed<&'t str> {
    take_while(0.., char::is_whitespace).parse_next(input)
}

fn bare<'t>(input: &mut Input<'t>) -> Parsed<&'t str> {
    take_while(1.., is_word_character).parse_next(input)
}

fn in_quotes<'t>(input: &mut Input<'t>) -> Parsed<&'t str> {
    let start = input.current_token_start();
    let quote = alt(('"', '\'')).parse_next(input)?;
    let text = take_till(0.., quote).parse_next(input)?;
    let end = input.current_token_start();
    if opt(quote).parse_next(input)?.is_none() {
        let help = format!("add {quote} at the end");
        return failure(start..end, "the quotes are not closed", help);
    }
    if text.is_empty() {
        let help = "write a name in them, such as `fast`";
        return failure(start..end + 1, "the quotes are empty", help);
    }
    Ok(text)
}

/// One of [`KEYWORDS`], followed by optional whitespace.
pub(super) fn keyword<'t>(word: &'static str) -> impl Parser<Input<'t>, &'t str, ErrMode<Problem>> {
    terminated(bare.verify(move |text: &str| text == word), space)
}

/// A symbol, followed by optional whitespace.
pub(super) fn symbol<'t>(
    symbol: &'static str,
) -> impl Parser<Input<'t>, &'t str, ErrMode<Problem>> {
    terminated(symbol, space)
}

/// The range of the next word or symbol in the text, and how a message names it. This function is not a parser itself;
/// parsers call it to build their error messages.
pub(super) fn upcoming(input: &Input<'_>) -> (Range<usize>, String) {
    let start = input.current_token_start();
    let rest = input.peek_finish();
    let word = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
    let operator = ["==", "!=", "<=", ">="]
        .iter()
        .any(|operator| rest.starts_with(operator));
    let length = match rest.chars().next() {
        None => return (start..start, "the end".to_owned()),
        Some(_) if word > 0 => word,
        Some(_) if operator => 2,
        Some(character) => character.len_utf8(),
    };
    (start..start + length, format!("`{}`", &rest[..length]))
}
