//! A run that takes part in a merge.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::event::{PartFacts, RunFacts};
use crate::matrix::CellId;
use crate::record::model::{CellModel, ModelBuilder};
use crate::record::{FILE_NAME, RecordReader, RunModel};

use super::MergeError;

/// A run that takes part in a merge.
#[derive(Debug)]
pub struct Part {
    /// Its folder.
    pub folder: PathBuf,
    /// Its model.
    pub run: RunModel,
    /// Its facts.
    pub facts: RunFacts,
    /// When it started.
    pub started: Timestamp,
    /// The time of its last event.
    pub ended: Timestamp,
    /// The cells that the merged run reports from this part; empty before the merge is planned.
    pub(super) reported: BTreeSet<CellId>,
}

impl Part {
    /// Reads the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, MergeError> {
        let mut builder = ModelBuilder::default();
        let mut ended = None;
        for record in RecordReader::open(&folder.join(FILE_NAME))? {
            let record = record?;
            ended = Some(record.at);
            builder.apply(&record);
        }
        let run = builder.finish();
        let begun = run.facts.clone().zip(run.started).zip(ended);
        let ((facts, started), ended) = begun.ok_or_else(|| MergeError::NotStarted {
            folder: folder.to_owned(),
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            run,
            facts,
            started,
            ended,
            reported: BTreeSet::new(),
        })
    }

    /// Whether the run is still running. On a file system without locks, this isn't known, and the answer is no.
    pub fn is_running(&self) -> bool {
        self.run.verdict.is_none() && is_locked(&self.folder.join(FILE_NAME))
    }

    /// Whether the part was merged from other runs. The combined processes of one run have the id of that run.
    pub(super) fn is_merge(&self) -> bool {
        let mut origins = self.facts.parts.iter();
        origins.any(|origin| origin.run != self.facts.run)
    }

    /// When the first of `parts` started; the epoch if there are none.
    pub(super) fn first_start(parts: &[Self]) -> Timestamp {
        let starts = parts.iter().map(|part| part.started);
        starts.min().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// A key that identifies the part and sorts parts.
    pub(super) fn key(&self) -> (Timestamp, &str, Vec<&CellId>) {
        let cells = self.run.cells.iter().map(|cell| &cell.summary.id);
        (self.started, &self.facts.run, cells.collect())
    }

    /// The cells that are reported from this part.
    pub(super) fn cells(&self) -> impl Iterator<Item = &CellModel> {
        let cells = self.run.cells.iter();
        cells.filter(|cell| self.reported.contains(&cell.summary.id))
    }

    /// The part itself, or the parts that it was merged from, with only the cells that are reported from this part.
    pub(super) fn origins(&self) -> Vec<PartFacts> {
        let mut origins = self.facts.parts.clone();
        if origins.is_empty() {
            let cells = self.run.cells.iter().map(|cell| cell.summary.id.clone());
            origins.push(PartFacts {
                run: self.facts.run.clone(),
                host: self.facts.host.name.clone(),
                shard: self.facts.shard.clone(),
                duration_ms: self.run.duration_ms,
                cells: cells.collect(),
            });
        }
        for origin in &mut origins {
            origin.cells.retain(|cell| self.reported.contains(cell));
        }
        origins
    }

    /// Whether the part ended before all cells that are reported from it had a verdict.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cells().any(CellModel::is_cut_off)
    }

    /// The ids of this run and of the runs that it was merged from.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let origins = self.facts.parts.iter().map(|part| part.run.as_str());
        origins.chain([self.facts.run.as_str()])
    }
}

/// Whether a process that writes `record` holds the lock on it.
fn is_locked(record: &Path) -> bool {
    // The lock is shared, so that processes that check at the same time don't mistake each other for the writer. The
    // writer isn't disturbed: the record already contains the start of the run, so the writer has taken its lock.
    let lock = File::open(record).map(|record| record.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}
