//! Resumes a run that was killed or interrupted: in the same folder, with the verdicts so far, and with new resources.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{RunFolder, gc};
use crate::error::chain;
use crate::event::{RunFacts, RunVerdict};
use crate::machine::{StateFolder, remove_tree};
use crate::matrix::CellId;
use crate::record::merge::CELLS;
use crate::record::model::{CellModel, ModelBuilder};
use crate::record::{FILE_NAME, RecordError, RecordReader, RecordWriter, RunModel, Sink};

/// A run that is resumed. As long as this value exists, no other process writes its record.
pub struct Resumption {
    folder: PathBuf,
    run: RunModel,
    facts: RunFacts,
    writer: RecordWriter,
    whole_bytes: u64,
    earlier: Earlier,
}

/// A run can't be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The run's record can't be written.
    #[error("failed to open the record in {}", folder.display())]
    Unwritable {
        /// The run's folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process is still writing the record.
    #[error("the run in {} is still running", folder.display())]
    Alive {
        /// The run's folder.
        folder: PathBuf,
    },
    /// The run's record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record doesn't contain the start of the run.
    #[error("the record in {} does not contain the start of the run", folder.display())]
    NotStarted {
        /// The run's folder.
        folder: PathBuf,
    },
    /// The folder `cells` is a link, so deleting files in it could delete files outside the run's folder.
    #[error("{} is a symbolic link, which `--resume` does not follow", path.display())]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// The run was a part of another one, or its folder was renamed.
    #[error("{} is not the folder of the run {run}, whose record it contains", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// The run in the record.
        run: String,
    },
}

impl ResumeError {
    /// Whether the cause is the given run rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Unwritable { .. } => false,
            Self::Alive { .. }
            | Self::Record(_)
            | Self::NotStarted { .. }
            | Self::Linked { .. }
            | Self::Foreign { .. } => true,
        }
    }
}

impl Resumption {
    /// Claims the run in `folder` and reads its record.
    pub fn open(folder: &Path) -> Result<Self, ResumeError> {
        let folder = folder.to_owned();
        let path = folder.join(FILE_NAME);
        let writer = match RecordWriter::reopen(&path) {
            Ok(writer) => writer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(ResumeError::Alive { folder });
            }
            Err(source) => return Err(ResumeError::Unwritable { folder, source }),
        };
        let mut model = ModelBuilder::default();
        let mut records = RecordReader::open(&path)?;
        while let Some(record) = records.next() {
            let record = record?;
            // The warning about an incomplete line isn't part of the record. The run continues without that line.
            if record.sequence < records.next_sequence() {
                model.apply(&record);
            }
        }
        let run = model.clone().finish();
        let Some(facts) = run.facts.clone() else {
            return Err(ResumeError::NotStarted { folder });
        };
        let is_own = folder.file_name().is_some_and(|name| name == &*facts.run);
        if !is_own || !facts.parts.is_empty() {
            let run = facts.run;
            return Err(ResumeError::Foreign { folder, run });
        }
        let path = folder.join(CELLS);
        if path.is_symlink() {
            return Err(ResumeError::Linked { path });
        }
        let settled = run.cells.iter().filter(|cell| cell.verdict.is_settled());
        let earlier = Earlier {
            settled: settled.map(|cell| cell.summary.id.clone()).collect(),
            model,
            next_sequence: records.next_sequence(),
            is_resumed: true,
        };
        Ok(Self {
            whole_bytes: records.whole_bytes(),
            folder,
            run,
            facts,
            writer,
            earlier,
        })
    }

    /// The facts of the run.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// The verdict, if the run has ended and every cell has a verdict.
    pub fn final_verdict(&self) -> Option<RunVerdict> {
        let is_settled = self.unsettled().next().is_none();
        self.run.verdict.filter(|_| is_settled)
    }

    /// The number of the run's rounds so far; `None` if the run doesn't repeat cells.
    pub fn rounds(&self) -> Option<u32> {
        let cells = self.run.cells.iter();
        cells.filter_map(|cell| cell.summary.repetition).max()
    }

    /// The cells that don't have a final verdict yet.
    pub fn unsettled(&self) -> impl Iterator<Item = &CellModel> {
        let cells = self.run.cells.iter();
        cells.filter(|cell| !cell.verdict.is_settled())
    }

    /// The run's folder, for a session with a new token.
    pub(super) fn folder(&self) -> Result<RunFolder, super::FolderError> {
        let out = self.folder.parent().unwrap_or(Path::new(""));
        RunFolder::reopen(out, &self.facts.run)
    }

    /// Deletes the resources of earlier sessions outside the run's folder, and the files of cells that start again.
    /// Returns the problems.
    pub(super) async fn clear(&self, folder: &RunFolder, state: &StateFolder) -> Vec<String> {
        let (_, first) = self.facts.run.rsplit_once('-').unwrap_or_default();
        let later = self.run.resumed.iter();
        let later = later.map(|session| session.facts.token.as_str());
        let tokens: Vec<&str> = std::iter::once(first).chain(later).collect();
        let mut problems = Vec::new();
        match Box::pin(gc::gc_of(state, &tokens)).await {
            Ok(rows) if !rows.iter().any(|row| row.outcome.is_failure()) => {}
            Ok(_) => problems.push(
                "some resources of an earlier session of this run could not be deleted".to_owned(),
            ),
            Err(error) => problems.push(format!(
                "failed to look for resources of earlier sessions: {}",
                chain(&error)
            )),
        }
        for cell in self.unsettled() {
            let files = folder.cell(&cell.summary.id);
            if let Err(error) = remove_tree(&files)
                && error.kind() != io::ErrorKind::NotFound
            {
                let (files, why) = (files.display(), chain(&error));
                problems.push(format!("failed to delete {files}: {why}"));
            }
        }
        problems
    }

    /// Passes the earlier events to `sinks`. Returns the record, truncated after its last complete line, and what is
    /// known from the earlier sessions.
    pub(super) fn recall(
        self,
        sinks: &mut [Box<dyn Sink>],
    ) -> Result<(RecordWriter, Earlier), ResumeError> {
        for record in RecordReader::open(&self.folder.join(FILE_NAME))? {
            let record = record?;
            if record.sequence < self.earlier.next_sequence {
                for sink in sinks.iter_mut() {
                    sink.recall(&record);
                }
            }
        }
        let unwritable = |source| ResumeError::Unwritable {
            folder: self.folder.clone(),
            source,
        };
        self.writer.truncate(self.whole_bytes).map_err(unwritable)?;
        Ok((self.writer, self.earlier))
    }
}

/// What a session knows about the earlier sessions of its run.
#[derive(Default)]
pub(super) struct Earlier {
    /// The cells that keep their verdict.
    pub(super) settled: BTreeSet<CellId>,
    /// The events of the earlier sessions, folded.
    pub(super) model: ModelBuilder,
    /// The number of the session's first event.
    pub(super) next_sequence: u64,
    /// Whether there are earlier sessions.
    pub(super) is_resumed: bool,
}
