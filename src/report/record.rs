//! The record on disk: `events.ndjson`, written as things happen, read back to make every other report.
//!
//! The rule of versions: a reader takes records of its own version and of older ones, and refuses a record of a newer
//! one, because what it would leave out could change a verdict. Fields that it does not know are ignored.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Sink;
use crate::event::{Event, Record, Severity, VERSION};

/// The record's name in a run's folder.
pub const FILE_NAME: &str = "events.ndjson";

/// Why a record can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was written by a newer runner.
    #[error("line {line} of {} is of version {version}; this runner reads up to version {VERSION}", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What it says.
        version: u32,
    },
    /// A line that is not the last is no record.
    #[error("line {line} of {} is no record", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Appends every record to the file, one write and one line each, so that a killed run loses no more than a line.
#[derive(Debug)]
pub struct RecordWriter {
    file: File,
}

impl RecordWriter {
    /// Opens or makes [`FILE_NAME`] in `folder`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }
}

impl Sink for RecordWriter {
    fn on(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.flush()
    }

    fn name(&self) -> &'static str {
        "record"
    }
}

/// Only the version of a line, which is readable whatever else the line says.
#[derive(Deserialize)]
struct Stamp {
    version: u32,
}

/// Reads the record at `path`. A last line that was cut off is left out, and a warning at the end says so.
pub fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    let text = std::fs::read(path).map_err(|source| RecordError::Read {
        path: path.to_owned(),
        source,
    })?;
    let (whole, torn) = split_torn_line(&text);
    let mut records = Vec::new();
    for (index, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        if !line.is_empty() {
            records.push(parse(path, index + 1, line)?);
        }
    }
    if !torn.is_empty() {
        records.extend(warning_of_torn_line(&records));
    }
    Ok(records)
}

/// What a run wrote to its end of line, and what it did not.
fn split_torn_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().rposition(|byte| *byte == b'\n');
    text.split_at(end.map_or(0, |end| end + 1))
}

fn parse(path: &Path, line: usize, text: &[u8]) -> Result<Record, RecordError> {
    let malformed = |source| RecordError::Malformed {
        path: path.to_owned(),
        line,
        source,
    };
    let stamp: Stamp = serde_json::from_slice(text).map_err(malformed)?;
    if stamp.version > VERSION {
        return Err(RecordError::Newer {
            path: path.to_owned(),
            line,
            version: stamp.version,
        });
    }
    serde_json::from_slice(text).map_err(malformed)
}

/// At the time of the last whole record, so that the same file always reads the same. None for a file without any.
fn warning_of_torn_line(records: &[Record]) -> Option<Record> {
    let last = records.last()?;
    Some(Record {
        version: VERSION,
        sequence: last.sequence + 1,
        at: last.at,
        event: Event::Notice {
            severity: Severity::Warning,
            text: "the record ends in the middle of a line: the run was killed while it wrote"
                .into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn written(folder: &Path, records: &[Record]) -> PathBuf {
        let mut writer = RecordWriter::open(folder).unwrap();
        for record in records {
            writer.on(record).unwrap();
        }
        folder.join(FILE_NAME)
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let records = fixture::mixed();
        let path = written(folder.path(), &records);
        assert_eq!(read(&path).unwrap(), records);
    }

    #[test]
    fn a_torn_line_costs_no_more_than_itself() {
        let folder = tempfile::tempdir().unwrap();
        let records = fixture::mixed();
        let path = written(folder.path(), &records);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let read = read(&path).unwrap();
        let (warning, whole) = read.split_last().unwrap();
        assert_eq!(whole, &records[..records.len() - 1]);
        assert!(
            matches!(&warning.event, Event::Notice { severity: Severity::Warning, text } if text.contains("killed"))
        );
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_whatever_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &fixture::mixed()[..2]);
        let newer = format!(
            "{{\"version\":{},\"event\":{{\"type\":\"later\"}}}}\n",
            VERSION + 1
        );
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(newer.as_bytes()).unwrap();
        let error = read(&path).unwrap_err();
        assert!(
            matches!(error, RecordError::Newer { line: 3, version, .. } if version == VERSION + 1)
        );
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(matches!(
            read(&path).unwrap_err(),
            RecordError::Malformed { line: 1, .. }
        ));
    }

    #[test]
    fn every_beginning_of_a_record_makes_a_report() {
        let records = fixture::mixed();
        for end in 0..records.len() {
            let run = crate::report::RunModel::new(&records[..end]);
            for report in crate::report::write::Report::ALL {
                assert!(!report.render(&run).is_empty());
            }
        }
    }
}
