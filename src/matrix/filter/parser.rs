//! The grammar of the filter language as a recursive descent parser, with errors for users.

use std::iter::Peekable;
use std::sync::LazyLock;
use std::vec::IntoIter;

use miette::SourceSpan;
use regex::Regex;

use super::expression::{Expression, Leaf, Operator, Test};
use super::pattern::Pattern;
use crate::matrix::KubernetesVersion;
use crate::matrix::nearest::nearest;
use crate::matrix::problem::Problem;

/// The maximum nesting depth of parentheses and `not`. The limit exists because the parser and the functions of the
/// tree are recursive.
const MAX_DEPTH: usize = 64;

/// The operators that are words. They can be terms only in quotes.
const KEYWORDS: [&str; 3] = ["not", "and", "or"];

/// The fields with ordered values.
const ORDERED: [&str; 3] = ["k8s", "kubernetes", "nodes"];

const JOINED: &str = "join terms with `and` or `or`; several filters are alternatives";

/// The tokens: words, quoted text and symbols. Each character except whitespace is part of one.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    let tokens = r#"[^\s()&|!=<>,"']+|"[^"]*"?|'[^']*'?|[=!<>]=|\S"#;
    Regex::new(tokens).expect("the pattern is a valid regular expression")
});

type Parsed<T> = Result<T, Problem>;

/// Parses the whole text as a filter.
pub(super) fn parse(text: &str) -> Parsed<Expression> {
    let tokens = TOKENS.find_iter(text).map(|token| Token {
        text: token.as_str(),
        place: token.range().into(),
    });
    let mut parser = Parser {
        tokens: tokens.collect::<Vec<_>>().into_iter().peekable(),
        end: (text.len()..text.len()).into(),
        depth: 0,
    };
    let expression = parser.filter()?;
    match parser.tokens.peek().map(|token| token.text) {
        None => Ok(expression),
        Some(")") => {
            let help = "remove it, or add the missing `(`";
            Err(Problem::at(parser.place(), "unmatched `)`", help))
        }
        Some(_) => Err(parser.expected("`and`, `or` or the end of the filter", JOINED)),
    }
}

/// A token and its place. Quoted text keeps its quotes until the parser reads it.
#[derive(Clone, Copy)]
struct Token<'t> {
    text: &'t str,
    place: SourceSpan,
}

struct Parser<'t> {
    tokens: Peekable<IntoIter<Token<'t>>>,
    /// The end of the text.
    end: SourceSpan,
    /// The current depth of parentheses and `not`.
    depth: usize,
}

impl<'t> Parser<'t> {
    fn filter(&mut self) -> Parsed<Expression> {
        self.joined(&["or", "|"], Self::conjunction, Expression::Any)
    }

    fn conjunction(&mut self) -> Parsed<Expression> {
        self.joined(&["and", "&"], Self::negation, Expression::All)
    }

    /// One part, or several parts with one of `operators` between them, which `join` combines.
    fn joined(
        &mut self,
        operators: &[&str],
        part: fn(&mut Self) -> Parsed<Expression>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed<Expression> {
        let mut parts = vec![part(self)?];
        while self.skips(operators) {
            parts.push(part(self)?);
        }
        match <[Expression; 1]>::try_from(parts) {
            Ok([only]) => Ok(only),
            Err(parts) => Ok(join(parts)),
        }
    }

    fn negation(&mut self) -> Parsed<Expression> {
        if !self.skips(&["not", "!"]) {
            return self.primary();
        }
        let inner = self.nested(Self::negation)?;
        Ok(Expression::Not(Box::new(inner)))
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let Some(open) = self.tokens.next_if(|token| token.text == "(") else {
            return self.leaf();
        };
        let inner = self.nested(Self::filter)?;
        if self.skips(&[")"]) {
            return Ok(inner);
        }
        let problem = self.expected("`)`", JOINED);
        Err(problem.and_at(open.place, "opened here"))
    }

    /// Parses `part` one level deeper, or fails if that exceeds [`MAX_DEPTH`].
    fn nested(&mut self, part: fn(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        if self.depth >= MAX_DEPTH {
            let message =
                format!("parentheses and `not` are nested more than {MAX_DEPTH} levels deep");
            return Err(Problem::at(self.place(), message, ""));
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }

    /// A term or a comparison.
    fn leaf(&mut self) -> Parsed<Expression> {
        let Some(word) = self.word()? else {
            let help = "a term is a part of a cell's id (`k8s-1.30`, `n3`, `fast`) or a comparison (`nodes > 1`)";
            return Err(self.expected("a term", help));
        };
        let start = word.place;
        let Some((operator, sign)) = self.operator() else {
            let (test, span) = (Test::Name(Pattern::new(word.text)), start);
            return Ok(Expression::Leaf(Leaf { test, span, start }));
        };
        let Some(value) = self.word()? else {
            let help = "for example `k8s >= 1.33`, `nodes > 1`, `config = fast` or `tag = soak`";
            return Err(self.expected(&format!("a value for `{}`", word.text), help));
        };
        let test = match word.text {
            "k8s" | "kubernetes" => Test::Kubernetes(operator, version(value)?),
            "nodes" => Test::Nodes(operator, count(value)?),
            _ if operator != Operator::Equal => return Err(unordered(word, sign)),
            // Whether the field exists isn't known until the filter is applied to a matrix.
            field => Test::Field(field.to_owned(), Pattern::new(value.text)),
        };
        let span = value.place;
        let leaf = Expression::Leaf(Leaf { test, span, start });
        if sign.text == "!=" {
            return Ok(Expression::Not(Box::new(leaf)));
        }
        Ok(leaf)
    }

    /// Reads a word that isn't a keyword, or quoted text, whose quotes it removes; `None` if the next token is neither.
    fn word(&mut self) -> Parsed<Option<Token<'t>>> {
        let Some(token) = self.tokens.next_if(Token::is_word) else {
            return Ok(None);
        };
        let Token { text, place } = token;
        let Some(quoted) = text.strip_prefix(['"', '\'']) else {
            return Ok(Some(token));
        };
        let quote = &text[..1];
        match quoted.strip_suffix(quote) {
            None => {
                let help = format!("add {quote} at the end");
                Err(Problem::at(place, "the quotes are not closed", help))
            }
            Some("") => {
                let help = "write a name in them, such as `fast`";
                Err(Problem::at(place, "the quotes are empty", help))
            }
            Some(text) => Ok(Some(Token { text, place })),
        }
    }

    /// Reads an operator, and returns it with its token; `None` if the next token is something else.
    fn operator(&mut self) -> Option<(Operator, Token<'t>)> {
        let operator = Operator::from_sign(self.tokens.peek()?.text)?;
        self.tokens.next().map(|sign| (operator, sign))
    }

    /// Skips the next token if it is one of `tokens`.
    fn skips(&mut self, tokens: &[&str]) -> bool {
        let next = self.tokens.next_if(|token| tokens.contains(&token.text));
        next.is_some()
    }

    /// The next token's place, or the end of the text.
    fn place(&mut self) -> SourceSpan {
        self.tokens.peek().map_or(self.end, |token| token.place)
    }

    /// The problem that the next token isn't `expected`.
    fn expected(&mut self, expected: &str, help: &str) -> Problem {
        let found = match self.tokens.peek() {
            Some(token) => format!("`{}`", token.text),
            None => "the end".to_owned(),
        };
        let message = format!("expected {expected}, found {found}");
        Problem::at(self.place(), message, help)
    }
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        let is_symbol = self.text.starts_with(|c: char| "()&|!=<>,".contains(c));
        !is_symbol && !KEYWORDS.contains(&self.text)
    }
}

fn version(value: Token<'_>) -> Parsed<KubernetesVersion> {
    let help = if value.text.contains(['*', '?']) {
        "only terms can have wildcards, such as `k8s-1.3*`"
    } else {
        "for example `k8s >= 1.33`"
    };
    let version = value.text.parse::<KubernetesVersion>();
    version.map_err(|error| Problem::at(value.place, error.to_string(), help))
}

fn count(value: Token<'_>) -> Parsed<u32> {
    value.text.parse().map_err(|_| {
        let message = format!("`{}` is not a number of nodes", value.text);
        let help = "for example `nodes > 1`; the part of an id is a term: `n3`";
        Problem::at(value.place, message, help)
    })
}

/// The problem that the values of a field don't have the order that the operator requires.
fn unordered(field: Token<'_>, operator: Token<'_>) -> Problem {
    let (field_text, operator_text) = (field.text, operator.text);
    if let Some(near) = nearest(field_text, ORDERED) {
        let message = format!("`{field_text}` is not a field");
        let help = format!("did you mean `{near}`?");
        return Problem::at(field.place, message, help);
    }
    let message = format!(
        "the values of `{field_text}` have no order, so they can't be compared with `{operator_text}`"
    );
    let help =
        format!("use `{field_text} = …` or `{field_text} != …`, with `*` and `?` as wildcards");
    Problem::at(operator.place, message, help)
}
