//! The filter language: which cells a run takes. Judges a cell by its own id, axes and tags alone.
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
//! - A *word* ends at white space and at `( ) & | ! = < > , " '`. Versions and numbers may stand in quotes too.
//! - A *term* names a whole part of a cell's id (`k8s-1.30`, `n3`, `fast`, `agent-1.4`) or a whole id: `k8s-1.3` does not
//!   match `k8s-1.30`, `k8s-1.3*` does.
//! - Versions compare by number: `k8s > 1.9` takes 1.30. A cell has `tag = x` when one of its tags is `x`; `tag != x`
//!   means that none is.
//! - What a term, an equality or an inequality names must be there in the matrix ([`select`] says so); an order may
//!   compare with anything.

mod expression;
mod names;
mod parser;
mod pattern;
mod problem;
mod words;

use std::sync::Arc;

use self::expression::Expression;
pub use self::problem::{FilterProblem, FilterProblems};
use super::{Cell, Matrix};

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Arc<str>,
    expression: Expression,
}

impl Filter {
    /// Parses a filter. Whether the names in it exist is known only with a matrix: see [`select`].
    ///
    /// # Errors
    /// The first place at which the text violates the grammar.
    pub fn parse(text: &str) -> Result<Self, FilterProblem> {
        match parser::parse(text) {
            Ok(expression) => Ok(Self {
                source: Arc::from(text),
                expression,
            }),
            Err(problem) => Err(FilterProblem::new(Arc::from(text), problem)),
        }
    }

    /// Whether the filter selects the cell.
    pub fn matches(&self, cell: &Cell) -> bool {
        self.expression.matches(cell)
    }
}

/// The cells of `matrix`, in its order, that at least one of `filters` takes; all of them where there is none.
///
/// # Errors
/// Everything that the filters name and that is not in the matrix. A matrix without cells has nothing to name, so
/// nothing is held against it.
pub fn select<'m>(matrix: &'m Matrix, filters: &[Filter]) -> Result<Vec<&'m Cell>, FilterProblems> {
    let cells = &matrix.cells;
    FilterProblems::of(
        filters
            .iter()
            .flat_map(|filter| names::unknown(&filter.source, &filter.expression, cells))
            .collect(),
    )?;
    let taken =
        |cell: &&Cell| filters.is_empty() || filters.iter().any(|filter| filter.matches(cell));
    Ok(cells.iter().filter(taken).collect())
}
