//! Finds and reads the matrix file, and selects its cells.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::CliError;
use super::exit::Exit;
use super::options::{NoCells, SelectOptions};
use super::streams;
use crate::event::ShardFacts;
use crate::machine::{absolute, probe, read_text};
use crate::matrix::{
    Cell, Estimates, Filter, Matrix, Timings, locate_programs, resolve_variables, select,
    short_hash,
};
use crate::runner::{Selection, Workload, base};

/// The default name of the matrix file.
const FILE: &str = "matrix.toml";

/// The maximum size of a matrix file, in bytes.
const MAX_MATRIX: u64 = 1 << 20;
/// The maximum size of a timings file, in bytes.
const MAX_TIMINGS: u64 = 16 << 20;

/// A matrix with its selected cells.
#[derive(Clone)]
pub(super) struct Selected {
    pub(super) path: PathBuf,
    pub(super) matrix: Matrix,
    pub(super) cells: Vec<Cell>,
    pub(super) selection: Selection,
    pub(super) text: String,
}

impl Selected {
    /// Keeps only the cells for whose ids `is_wanted` returns true.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.cells.retain(|cell| is_wanted(cell.id.as_str()));
    }

    /// Finds the programs of commands, and inserts values from this process's environment into the cells. `runner` is
    /// the runner's own binary.
    pub(super) fn resolve(mut self, runner: PathBuf) -> Result<(Workload, Selection), CliError> {
        let name = self.path.display().to_string();
        let file = (name.as_str(), self.text.as_str());
        let folder = absolute(base(&self.path));
        let find = |program: &Path| probe::program(program, &folder);
        locate_programs(&mut self.matrix, file, find).map_err(CliError::report)?;
        let variable = |name: &str| std::env::var(name);
        let secrets = resolve_variables(&self.matrix, &mut self.cells, file, variable);
        let workload = Workload {
            secrets: secrets.map_err(CliError::report)?,
            path: self.path,
            matrix: self.matrix,
            cells: self.cells,
            runner,
        };
        Ok((workload, self.selection))
    }

    /// Prints on stderr why no cell is selected. Returns the exit code.
    pub(super) fn nothing_to_do(&self, no_cells: NoCells) -> Result<Exit, CliError> {
        let why = if self.matrix.cells.is_empty() {
            "the matrix has no cells".to_owned()
        } else if let Some(shard) = &self.selection.shard {
            let (index, count) = (shard.index, shard.count);
            format!("shard {index}/{count} of the selected cells is empty")
        } else {
            "the filter selects no cell".to_owned()
        };
        streams::notice(&format!("nothing to do: {why}"))?;
        Ok(match no_cells {
            NoCells::Fail => Exit::NothingToDo,
            NoCells::Pass => Exit::Passed,
        })
    }
}

/// Reads the matrix file, applies the filters and selects the shard.
pub(super) fn load(options: &SelectOptions) -> Result<Selected, CliError> {
    let path = match &options.matrix {
        Some(path) => path.clone(),
        None => find()?,
    };
    let unreadable = CliError::unreadable(format!("read the matrix file {}", path.display()));
    let text = read_text(&path, MAX_MATRIX).map_err(unreadable)?;
    let matrix = Matrix::parse(&path.display().to_string(), &text).map_err(CliError::report)?;
    let filters = options.filter.iter().map(|text| Filter::parse(text));
    let filters: Result<Vec<Filter>, _> = filters.collect();
    let filters = filters.map_err(CliError::report)?;
    let cells = select(&matrix, &filters).map_err(CliError::report)?;
    let cells: Vec<Cell> = cells.into_iter().cloned().collect();
    let (cells, shard) = shard(options, cells)?;
    Ok(Selected {
        selection: Selection {
            filters: options.filter.clone(),
            digest: Some(digest(&text, &options.filter, shard.as_ref())),
            shard,
            ..Selection::default()
        },
        text,
        path,
        matrix,
        cells,
    })
}

/// The cells of the requested shard; all cells if none is requested.
fn shard(
    options: &SelectOptions,
    cells: Vec<Cell>,
) -> Result<(Vec<Cell>, Option<ShardFacts>), CliError> {
    let timings = match &options.timings {
        Some(path) => timings(path)?,
        None => Timings::default(),
    };
    let Some(shard) = options.shard else {
        return Ok((cells, None));
    };
    let estimates = Estimates::new(&cells, &timings);
    let facts = ShardFacts {
        index: shard.index(),
        count: shard.count(),
        cells: cells.len(),
        digest: estimates.digest(),
    };
    Ok((shard.select(cells, &estimates), Some(facts)))
}

fn timings(path: &Path) -> Result<Timings, CliError> {
    let hint = "the file has to be a JSON object that maps cell ids to milliseconds, such as the `timings.json` of a run";
    let unusable = |source| CliError::Rejected {
        message: format!("failed to read the timings {}", path.display()),
        source: Some(source),
        hint: hint.to_owned(),
    };
    let text = read_text(path, MAX_TIMINGS).map_err(unusable)?;
    Timings::parse(&text).map_err(|error| unusable(error.into()))
}

/// A hash of everything that determines which cells run: the text `matrix` of the matrix file, the filters and the
/// shard.
pub(super) fn digest(matrix: &str, filters: &[String], shard: Option<&ShardFacts>) -> String {
    let mut hash = Sha256::new();
    let shard = shard.map(|shard| format!("{}/{} {}", shard.index, shard.count, shard.digest));
    let filters = filters.iter().map(String::as_str);
    for text in [matrix].into_iter().chain(filters).chain(shard.as_deref()) {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    short_hash(hash)
}

/// `matrix.toml` in the current folder or the nearest parent folder that has one.
pub(super) fn find() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().map_err(CliError::io("determine the current folder"))?;
    let mut candidates = here.ancestors().map(|folder| folder.join(FILE));
    let Some(path) = candidates.find(|path| path.is_file()) else {
        return Err(CliError::rejected(
            format!(
                "there is no {FILE} in {} or any parent folder",
                here.display()
            ),
            "give its path with `--matrix FILE`, or write one; the smallest is\n\n    [matrix]\n    kubernetes = [\"1.36\"]",
        ));
    };
    // Messages show a file in the current folder by its name, as users would type it.
    Ok(match path.strip_prefix(&here) {
        Ok(relative) => relative.to_owned(),
        Err(_) => path,
    })
}
