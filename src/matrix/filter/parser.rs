//! The grammar of the filter language as `winnow` parsers, with errors for users.

use std::ops::Range;

use winnow::combinator::{alt, cut_err, not, opt, preceded, separated, terminated};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful};

use super::expression::{Equality, Expression, Leaf, Operator, Test};
use super::pattern::Pattern;
use super::words::{Input, Parsed, Word, failure, keyword, space, symbol, upcoming, word};
use crate::matrix::KubernetesVersion;
use crate::matrix::nearest::nearest;
use crate::matrix::problem::Problem;

/// The maximum nesting depth of parentheses and `not`. The limit exists because the parser and the functions of the
/// tree are recursive.
const MAX_DEPTH: usize = 64;

/// The fields with ordered values.
const ORDERED: [&str; 3] = ["k8s", "kubernetes", "nodes"];

/// Parses the whole text as a filter.
pub(super) fn parse(text: &str) -> Result<Expression, Problem> {
    let mut input = Stateful {
        input: LocatingSlice::new(text),
        state: 0,
    };
    match preceded(space, terminated(filter, end)).parse_next(&mut input) {
        Ok(expression) => Ok(expression),
        Err(ErrMode::Backtrack(problem) | ErrMode::Cut(problem)) => Err(problem),
        Err(ErrMode::Incomplete(_)) => Err(Problem::new("the filter is incomplete", "")),
    }
}

fn filter(input: &mut Input<'_>) -> Parsed<Expression> {
    let or = alt((keyword("or"), symbol("|")));
    let parts = separated(1.., cut_err(conjunction), or).parse_next(input)?;
    Ok(joined(parts, Expression::Any))
}

fn conjunction(input: &mut Input<'_>) -> Parsed<Expression> {
    let and = alt((keyword("and"), symbol("&")));
    let parts = separated(1.., cut_err(negation), and).parse_next(input)?;
    Ok(joined(parts, Expression::All))
}

/// The only part if there is just one; otherwise all parts, combined with `join`.
fn joined(parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match <[Expression; 1]>::try_from(parts) {
        Ok([only]) => only,
        Err(parts) => join(parts),
    }
}

fn negation(input: &mut Input<'_>) -> Parsed<Expression> {
    let mark = alt((keyword("not"), terminated(symbol("!"), not('='))));
    if opt(mark).parse_next(input)?.is_none() {
        return primary(input);
    }
    let inner = nested(input, cut_err(negation))?;
    Ok(Expression::Not(Box::new(inner)))
}

fn primary(input: &mut Input<'_>) -> Parsed<Expression> {
    let start = input.current_token_start();
    if opt(symbol("(")).parse_next(input)?.is_none() {
        return leaf(input).map(Expression::Leaf);
    }
    let inner = nested(input, cut_err(filter))?;
    if opt(symbol(")")).parse_next(input)?.is_some() {
        return Ok(inner);
    }
    let (span, found) = upcoming(input);
    let message = format!("expected `)`, found {found}");
    let problem = Problem::at(span, message, JOINED);
    let problem = problem.and_at(start..start + 1, "opened here");
    Err(ErrMode::Cut(problem))
}

/// Runs `parser` one level deeper, or fails if that exceeds [`MAX_DEPTH`].
fn nested<'t, T>(
    input: &mut Input<'t>,
    mut parser: impl Parser<Input<'t>, T, ErrMode<Problem>>,
) -> Parsed<T> {
    if input.state >= MAX_DEPTH {
        let message = format!("parentheses and `not` are nested more than {MAX_DEPTH} levels deep");
        let place = input.current_token_start();
        return failure(place..place, message, "");
    }
    input.state += 1;
    let result = parser.parse_next(input);
    input.state -= 1;
    result
}

fn leaf(input: &mut Input<'_>) -> Parsed<Leaf> {
    let word = word(input)?;
    let operator = operator.with_taken().with_span();
    let Some(((operator, text), span)) = opt(terminated(operator, space)).parse_next(input)? else {
        return Ok(Leaf {
            test: Test::Name(Pattern::new(word.text)),
            span: word.span.clone().into(),
            start: word.span.into(),
        });
    };
    let value = value(input, &word)?;
    let equality = || equality(operator, text, &word, span.clone());
    let test = match word.text {
        "k8s" | "kubernetes" => Test::Kubernetes(operator, version(&value)?),
        "nodes" => Test::Nodes(operator, count(&value)?),
        "config" => Test::Config(equality()?, Pattern::new(value.text)),
        "tag" => Test::Tag(equality()?, Pattern::new(value.text)),
        typo if let (true, Some(near)) =
            (!matches!(operator, Operator::Is(_)), nearest(typo, ORDERED)) =>
        {
            let help = format!("did you mean `{near}`?");
            return word.failure(format!("`{typo}` is not a field"), help);
        }
        // Whether the axis exists isn't known until the filter is applied to a matrix.
        axis => Test::Axis(axis.to_owned(), equality()?, Pattern::new(value.text)),
    };
    Ok(Leaf {
        test,
        span: value.span.into(),
        start: word.span.into(),
    })
}

fn value<'t>(input: &mut Input<'t>, field: &Word<'_>) -> Parsed<Word<'t>> {
    if let Some(value) = opt(word).parse_next(input)? {
        return Ok(value);
    }
    let (span, found) = upcoming(input);
    let message = format!("expected a value for `{}`, found {found}", field.text);
    let help = "for example `k8s >= 1.33`, `nodes > 1`, `config = fast` or `tag = soak`";
    failure(span, message, help)
}

fn version(value: &Word<'_>) -> Parsed<KubernetesVersion> {
    let help = if value.text.contains(['*', '?']) {
        "only terms can have wildcards, such as `k8s-1.3*`"
    } else {
        "for example `k8s >= 1.33`"
    };
    let version = value.text.parse::<KubernetesVersion>();
    version.or_else(|error| value.failure(error.to_string(), help))
}

fn count(value: &Word<'_>) -> Parsed<u32> {
    value.text.parse().or_else(|_| {
        let message = format!("`{}` is not a number of nodes", value.text);
        let help = "for example `nodes > 1`; the part of an id is a term: `n3`";
        value.failure(message, help)
    })
}

fn equality(
    operator: Operator,
    text: &str,
    field: &Word<'_>,
    span: Range<usize>,
) -> Parsed<Equality> {
    let Operator::Is(equality) = operator else {
        let field = field.text;
        let message = format!(
            "the values of `{field}` have no order, so they can't be compared with `{text}`"
        );
        let help = format!("use `{field} = …` or `{field} != …`, with `*` and `?` as wildcards");
        return failure(span, message, help);
    };
    Ok(equality)
}

fn operator(input: &mut Input<'_>) -> Parsed<Operator> {
    alt((
        alt(("==", "=")).value(Operator::Is(Equality::Equal)),
        "!=".value(Operator::Is(Equality::Different)),
        "<=".value(Operator::AtMost),
        "<".value(Operator::Less),
        ">=".value(Operator::AtLeast),
        ">".value(Operator::Greater),
    ))
    .parse_next(input)
}

const JOINED: &str = "join terms with `and` or `or`; several filters are alternatives";

/// The end of the text.
fn end(input: &mut Input<'_>) -> Parsed<()> {
    if input.is_empty() {
        return Ok(());
    }
    let (span, found) = upcoming(input);
    let (message, help) = if found == "`)`" {
        (
            "unmatched `)`".to_owned(),
            "remove it, or add the missing `(`",
        )
    } else {
        (
            format!("expected `and`, `or` or the end of the filter, found {found}"),
            JOINED,
        )
    };
    failure(span, message, help)
}
