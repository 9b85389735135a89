//! Finds and reads the matrix file, and selects its cells.

use std::fs;
use std::path::PathBuf;

use super::error::CliError;
use super::options::SelectOptions;
use crate::matrix::{Cell, Filter, Matrix, select};

/// The matrix file's name where none is given.
const FILE: &str = "matrix.toml";

/// A matrix with the cells that were asked for.
pub(super) struct Selected {
    pub(super) path: PathBuf,
    pub(super) matrix: Matrix,
    pub(super) cells: Vec<Cell>,
}

/// Reads the file and applies the filters.
pub(super) fn load(options: &SelectOptions) -> Result<Selected, CliError> {
    let path = match &options.matrix {
        Some(path) => path.clone(),
        None => find()?,
    };
    let text = fs::read_to_string(&path).map_err(|source| CliError::MatrixUnreadable {
        path: path.clone(),
        source,
    })?;
    let matrix = Matrix::parse(&path.display().to_string(), &text).map_err(CliError::report)?;
    let filters = options.filter.iter().map(|text| Filter::parse(text));
    let filters: Vec<Filter> = filters
        .collect::<Result<_, _>>()
        .map_err(CliError::report)?;
    let cells = select(&matrix, &filters).map_err(CliError::report)?;
    let cells = cells.into_iter().cloned().collect();
    Ok(Selected {
        path,
        matrix,
        cells,
    })
}

/// `matrix.toml` here or in a parent folder.
pub(super) fn find() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().map_err(CliError::CurrentFolder)?;
    let mut candidates = here.ancestors().map(|folder| folder.join(FILE));
    let Some(path) = candidates.find(|path| path.is_file()) else {
        return Err(CliError::NoMatrix { here });
    };
    // Shown as people would type it, where that is shorter.
    Ok(match path.strip_prefix(&here) {
        Ok(relative) => relative.to_owned(),
        Err(_) => path,
    })
}
