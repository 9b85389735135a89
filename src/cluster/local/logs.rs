//! The logs of containers: written by their processes, private to the user, read from their end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::chain;
use crate::secret::Mask;

/// Only so much of a log's end is looked at for its last lines.
const LONGEST_TAIL: u64 = 256 * 1024;

/// Opens a log so that several writers append to it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// The whole log, without secrets.
pub(super) async fn whole(path: PathBuf, mask: &Mask) -> io::Result<String> {
    let bytes = blocking(move || fs::read(path)).await?;
    Ok(mask.apply(&String::from_utf8_lossy(&bytes)))
}

/// The last `lines` lines of a log, without secrets. What can't be read says so.
pub(super) async fn tail(path: PathBuf, lines: usize, mask: &Mask) -> Vec<String> {
    match blocking(move || end_of(&path)).await {
        Ok(text) => {
            let text = mask.apply(&text);
            let all: Vec<&str> = text.lines().collect();
            let first = all.len().saturating_sub(lines);
            all[first..].iter().map(ToString::to_string).collect()
        }
        Err(error) => vec![format!("(failed to read the log: {})", chain(&error))],
    }
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line of a cut log is cut too.
    let whole_lines = match text.split_once('\n') {
        Some((_, rest)) if length > LONGEST_TAIL => rest,
        _ => &text,
    };
    Ok(whole_lines.to_owned())
}

/// Runs file work where it may block.
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
    async fn tails_are_masked_and_cut_at_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(1000);
        let lines: Vec<String> = (0..400)
            .map(|number| format!("{number} s3cret {long}"))
            .collect();
        let text = lines.join("\n");
        fs::write(&path, text).unwrap();
        let mask = Mask::new([Secret::new("s3cret")]);
        let lines = tail(path.clone(), 2, &mask).await;
        assert_eq!(
            lines,
            [format!("398 *** {long}"), format!("399 *** {long}")]
        );
        assert_eq!(tail(path, 10_000, &mask).await.len(), 259);
        let missing = tail(folder.path().join("none"), 2, &mask).await;
        assert!(missing[0].starts_with("(failed to read the log"));
    }
}
