//! Finds an existing run by its id, its folder or its record.

use std::path::{Path, PathBuf};

use super::error::CliError;
use super::matrix_file;
use super::options::RunLocation;
use crate::record::model::ModelBuilder;
use crate::record::{self, RecordError, RecordReader, RunModel};

/// The link to the newest run.
const LATEST: &str = "latest";

/// A run on disk.
pub(super) struct Recorded {
    /// Its folder, to which its reports are written.
    pub(super) folder: PathBuf,
    /// Its record.
    pub(super) record: PathBuf,
}

impl Recorded {
    /// Finds the run with the path `run`, or with the id `run` in `out`. If `run` is `None`, finds the latest run in
    /// `out`.
    pub(super) fn find(run: Option<&str>, out: &Path) -> Result<Self, CliError> {
        let name = run.unwrap_or(LATEST);
        let here = Path::new(name);
        if run.is_some() && here.is_file() {
            return Ok(Self {
                folder: here.parent().unwrap_or(Path::new("")).to_owned(),
                record: here.to_owned(),
            });
        }
        let folder = if run.is_some() && here.is_dir() {
            here.to_owned()
        } else {
            followed(out, name)
        };
        if is_run(&folder) {
            let record = folder.join(record::FILE_NAME);
            return Ok(Self { folder, record });
        }
        Err(if folder.is_dir() {
            CliError::NoRecord { folder }
        } else {
            let out = out.display();
            let message = match run.filter(|run| *run != LATEST) {
                Some(run) => format!("there is no run `{run}` in the current folder or in {out}"),
                None => format!("there is no latest run in {out}"),
            };
            CliError::rejected(
                message,
                "give the run's id, folder or record, and use `--output-dir DIR` if the runs are in another folder",
            )
        })
    }

    /// Its events, one after another.
    pub(super) fn events(&self) -> Result<RecordReader, RecordError> {
        RecordReader::open(&self.record)
    }

    /// The model of the run.
    pub(super) fn model(&self) -> Result<RunModel, RecordError> {
        let mut builder = ModelBuilder::default();
        for record in self.events()? {
            builder.apply(&record?);
        }
        Ok(builder.finish())
    }
}

/// Whether `folder` is the folder of a run.
pub(super) fn is_run(folder: &Path) -> bool {
    folder.join(record::FILE_NAME).is_file()
}

/// The path of the folder `name` in `out`. If `name` is a link, such as `latest`, this is the path of the folder that
/// the link points to.
fn followed(out: &Path, name: &str) -> PathBuf {
    let folder = out.join(name);
    match folder.read_link() {
        Ok(target) => out.join(target),
        Err(_) => folder,
    }
}

impl RunLocation {
    /// The folder for runs.
    pub(super) fn out(&self) -> PathBuf {
        let matrix = self.matrix.clone().or_else(|| matrix_file::find().ok());
        self.output_dir.of(&matrix.unwrap_or_default())
    }
}
