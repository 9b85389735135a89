//! The filter language, which selects the cells of a run by their ids, axes and tags.
//!
//! ```text
//! filter     = conjunction { ( "or" | "|" ) conjunction }
//! conjunction = negation { ( "and" | "&" ) negation }
//! negation   = ( "not" | "!" ) negation | primary
//! primary    = "(" filter ")" | comparison | term
//! comparison = ( "k8s" | "kubernetes" ) ( equality | order ) version
//!            | "nodes" ( equality | order ) number
//!            | ( "config" | "tag" | axis ) equality pattern      with the name of a further axis
//! equality   = "=" | "==" | "!="
//! order      = "<" | "<=" | ">" | ">="
//! term       = pattern
//! version    = number "." number
//! pattern    = word | "'" text "'" | '"' text '"'      with the wildcards * (any text) and ? (one character)
//! ```
//!
//! - A *word* ends at whitespace and at `( ) & | ! = < > , " '`. Versions and numbers can also be quoted.
//! - A *term* matches a whole part of a cell's id (`k8s-1.30`, `n3`, `fast`, `agent-1.4`) or a whole id: `k8s-1.3`
//!   doesn't match `k8s-1.30`, but `k8s-1.3*` does.
//! - Versions are compared by number: `k8s > 1.9` selects 1.30. `tag = x` matches if one of the cell's tags is `x`, and
//!   `tag != x` matches if none of them is.
//! - A name in a term, or after `=` or `!=`, must exist in the matrix; otherwise [`select`] returns an error. After
//!   `<`, `<=`, `>` and `>=`, any value is valid.

mod expression;
mod names;
mod parser;
mod pattern;

use std::sync::Arc;

use miette::Diagnostic;

use self::expression::Expression;
use super::{Cell, Matrix, Problem};

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Arc<str>,
    expression: Expression,
}

impl Filter {
    /// Parses a filter. Doesn't check whether the names in it exist, because that needs a matrix: see [`select`].
    ///
    /// # Errors
    /// Returns the first violation of the grammar, with its place in the text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let source = Arc::from(text);
        match parser::parse(text) {
            Ok(expression) => Ok(Self { source, expression }),
            Err(problem) => Err(problem.in_filter(source)),
        }
    }

    /// Whether the filter selects the cell.
    pub fn matches(&self, cell: &Cell) -> bool {
        self.expression.matches(cell)
    }
}

/// Names in the filters of a run that don't exist in the matrix; at least one.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{}", summary(.0.len()))]
pub struct FilterProblems(#[related] Vec<Problem>);

fn summary(count: usize) -> String {
    match count {
        1 => "a name in a filter matches nothing in the matrix".to_owned(),
        count => format!("{count} names in filters match nothing in the matrix"),
    }
}

impl FilterProblems {
    /// The problems, sorted by filter and place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

/// The cells of `matrix`, in its order, that at least one of `filters` matches; all cells if there are no filters.
///
/// # Errors
/// Returns all names in the filters that don't exist in the matrix. If the matrix has no cells, names aren't checked.
pub fn select<'m>(matrix: &'m Matrix, filters: &[Filter]) -> Result<Vec<&'m Cell>, FilterProblems> {
    let cells = &matrix.cells;
    let unknown = |filter| names::unknown(filter, cells);
    let problems: Vec<Problem> = filters.iter().flat_map(unknown).collect();
    if !problems.is_empty() {
        return Err(FilterProblems(problems));
    }
    let is_selected =
        |cell: &&Cell| filters.is_empty() || filters.iter().any(|filter| filter.matches(cell));
    Ok(cells.iter().filter(is_selected).collect())
}
