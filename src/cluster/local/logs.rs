//! The containers' logs. They are private to the user, and processes write to them directly. Reading a log separates
//! the output of each process.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::excerpt::{Collector, ProcessOutput};
use crate::secret::Mask;

/// Opens a log for appending, so that several processes can write to it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// The output of each process in the log, with secrets masked. `offsets` has the length of the log at the start of each
/// process.
pub(super) async fn processes(
    path: PathBuf,
    offsets: Vec<u64>,
    mask: &Mask,
) -> io::Result<Vec<ProcessOutput>> {
    let read = blocking(move || read(&path, &offsets)).await?;
    let processes = read.into_iter();
    Ok(processes
        .map(|process| process.map(|line| mask.apply(line)))
        .collect())
}

fn read(path: &Path, offsets: &[u64]) -> io::Result<Vec<ProcessOutput>> {
    let mut file = File::open(path)?;
    let ends = offsets.iter().skip(1).copied().chain([u64::MAX]);
    let parts = offsets.iter().zip(ends);
    parts
        .map(|(start, end)| {
            file.seek(SeekFrom::Start(*start))?;
            let mut collector = Collector::default();
            let mut part = BufReader::new(&file).take(end - start);
            loop {
                let piece = part.fill_buf()?;
                if piece.is_empty() {
                    return Ok(collector.finish());
                }
                collector.feed(piece);
                let length = piece.len();
                part.consume(length);
            }
        })
        .collect()
}

/// Runs file operations, which may block, on a thread outside the async runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[tokio::test]
    async fn the_output_is_split_by_process_and_masked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "a s3cret\nb\nc\n").unwrap();
        let mask = Mask::new([Secret::new("s3cret")]);
        let read = processes(path.clone(), vec![0, 11, 11], &mask).await;
        let expected = ["a ***\nb\n", "", "c\n"].map(ProcessOutput::of);
        assert_eq!(read.unwrap(), expected);
        let missing = processes(folder.path().join("none"), vec![0], &mask).await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
