//! The record on disk: `events.ndjson`, written during a run, and read to create every other report.
//!
//! A reader accepts records of its own version and of older ones. It rejects a record of a newer version, because an
//! event that it doesn't know could change a verdict. Unknown fields are ignored.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::Sink;
use crate::event::{Event, Record, Severity, VERSION};

/// The name of the record in a run's folder.
pub const FILE_NAME: &str = "events.ndjson";

/// The longest line that is accepted, in bytes. The lines of real records are far shorter.
const LONGEST_LINE: u64 = 16 << 20;

/// A record can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A newer version of the runner wrote the record.
    #[error("line {line} of {} has version {version}, but this runner reads only versions up to {VERSION}", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// The line number, starting at 1.
        line: usize,
        /// The version in that line.
        version: u32,
    },
    /// A line before the last one isn't a valid event.
    #[error("line {line} of {} is not a valid event", path.display())]
    Malformed {
        /// The record.
        path: PathBuf,
        /// The line number, starting at 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
}

/// Appends events to the file, with one write and one line per event, so that a killed run loses one line at most. The
/// file is locked as long as this value exists, so that no other process writes to the same record.
#[derive(Debug)]
pub struct RecordWriter {
    file: File,
}

impl RecordWriter {
    /// Creates [`FILE_NAME`] in `folder`. An existing record is emptied.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let writer = Self::locked(&folder.join(FILE_NAME), true)?;
        writer.file.set_len(0)?;
        Ok(writer)
    }

    /// Opens the existing record at `path`. An error of kind `WouldBlock` means that another process still writes to
    /// it.
    pub fn reopen(path: &Path) -> io::Result<Self> {
        Self::locked(path, false)
    }

    /// Truncates the file to `whole_bytes`, which removes the line that a killed run didn't finish.
    pub fn truncate(&self, whole_bytes: u64) -> io::Result<()> {
        self.file.set_len(whole_bytes)
    }

    fn locked(path: &Path, create: bool) -> io::Result<Self> {
        let file = OpenOptions::new().create(create).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            // The file system has no locks, so other processes can't be kept out.
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "failed to lock the record");
                Ok(Self { file })
            }
        }
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

/// The version of a line, which can be parsed even if the rest of the line is unknown.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Reads the whole record at `path`. See [`RecordReader`].
pub fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    RecordReader::open(path)?.collect()
}

/// Reads a record line by line, so that it doesn't have to fit in memory. If the last line was cut off, the reader
/// returns a warning instead of that line.
#[derive(Debug)]
pub struct RecordReader {
    path: PathBuf,
    lines: BufReader<File>,
    line: Vec<u8>,
    number: usize,
    last: Option<(u64, Timestamp)>,
    whole_bytes: u64,
    is_torn: bool,
}

impl RecordReader {
    /// Opens the record at `path`.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let file = open_regular(path).map_err(|source| RecordError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::new(file),
            line: Vec::new(),
            number: 0,
            last: None,
            whole_bytes: 0,
            is_torn: false,
        })
    }

    /// The length in bytes of the complete lines that were read so far.
    pub const fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }

    /// The sequence number that the next event gets.
    pub fn next_sequence(&self) -> u64 {
        self.last
            .map_or(0, |(sequence, _)| sequence.saturating_add(1))
    }

    /// Reads the next line; `None` at the end.
    fn read_line(&mut self) -> Option<io::Result<()>> {
        self.line.clear();
        let mut limited = self.lines.by_ref().take(LONGEST_LINE + 1);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(length) if length as u64 > LONGEST_LINE => {
                let line = self.number + 1;
                let message = format!("line {line} is longer than 16 MiB, so it can't be an event");
                Some(Err(io::Error::other(message)))
            }
            Ok(_) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    }

    /// The event in the line that was read; `None` if the line is empty.
    fn take(&mut self) -> Option<Result<Record, RecordError>> {
        self.number += 1;
        self.whole_bytes += self.line.len() as u64;
        let text = self.line.trim_ascii_end();
        if text.is_empty() {
            return None;
        }
        let parsed = parse(&self.path, self.number, text);
        if let Ok(record) = &parsed {
            self.last = Some((record.sequence, record.at));
        }
        Some(parsed)
    }

    /// A warning with the time of the last complete event, so that the same file always gives the same events. `None`
    /// if the file has no complete event.
    fn warning_of_torn_line(&self) -> Option<Record> {
        let (sequence, at) = self.last?;
        let text = "the record ends in the middle of a line: the run was killed while writing it";
        Some(Record {
            version: VERSION,
            sequence: sequence.saturating_add(1),
            at,
            event: Event::Notice {
                severity: Severity::Warning,
                text: text.to_owned(),
            },
        })
    }
}

impl Iterator for RecordReader {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_torn {
            if let Err(source) = self.read_line()? {
                let path = self.path.clone();
                self.is_torn = true;
                return Some(Err(RecordError::Read { path, source }));
            }
            if !self.line.ends_with(b"\n") {
                self.is_torn = true;
                return self.warning_of_torn_line().map(Ok);
            }
            if let Some(record) = self.take() {
                return Some(record);
            }
        }
        None
    }
}

/// Opens a regular file. Opening a pipe would wait for a writer.
fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

fn parse(path: &Path, line: usize, text: &[u8]) -> Result<Record, RecordError> {
    let malformed = |source| RecordError::Malformed {
        path: path.to_owned(),
        line,
        source,
    };
    let parsed = serde_json::from_slice::<Record>(text);
    let version = match &parsed {
        Ok(record) => record.version,
        Err(_) => {
            serde_json::from_slice::<VersionOnly>(text)
                .map_err(malformed)?
                .version
        }
    };
    if version > VERSION {
        return Err(RecordError::Newer {
            path: path.to_owned(),
            line,
            version,
        });
    }
    parsed.map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn written(folder: &Path, records: &[Record]) -> PathBuf {
        let mut writer = RecordWriter::create(folder).unwrap();
        for record in records {
            writer.on(record).unwrap();
        }
        folder.join(FILE_NAME)
    }

    #[test]
    fn a_written_record_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let records = fixture::mixed();
        let path = written(folder.path(), &records);
        assert_eq!(read(&path).unwrap(), records);
    }

    #[test]
    fn a_cut_off_line_loses_no_other_events() {
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
    fn every_record_matches_the_schema() {
        let schema = crate::event::schema();
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        for record in fixture::mixed() {
            let line = serde_json::to_value(&record).unwrap();
            let problems: Vec<_> = validator.iter_errors(&line).collect();
            assert!(problems.is_empty(), "{problems:?}\n{line}");
        }
    }

    #[test]
    fn a_record_of_a_newer_version_is_rejected() {
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
    fn the_error_names_a_damaged_line_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(matches!(
            read(&path).unwrap_err(),
            RecordError::Malformed { line: 1, .. }
        ));
    }

    #[test]
    fn an_endless_line_is_rejected_without_reading_it_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let mut reader = RecordReader::open(&path).unwrap();
        let error = reader.next().unwrap().unwrap_err();
        assert!(matches!(error, RecordError::Read { .. }), "{error:?}");
        let read = reader.line.len() as u64;
        assert_eq!(read, LONGEST_LINE + 1);
        assert!(reader.next().is_none(), "nothing follows");
    }

    #[test]
    fn every_prefix_of_a_record_can_be_reported() {
        let records = fixture::mixed();
        for end in 0..records.len() {
            let run = crate::record::RunModel::new(&records[..end]);
            for report in crate::report::write::Report::ALL {
                assert!(!report.render(&run).is_empty());
            }
        }
    }
}
