//! Text files that users provide: regular UTF-8 files up to a size limit.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Fails unless `path` is a regular file of at most `limit` bytes. Opening a pipe would wait for a writer, and a device
/// may never end.
pub fn check_size(path: &Path, limit: u64) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

/// Reads the text of the regular file at `path`. Fails if the file has more than `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    check_size(path, limit)?;
    let mut bytes = Vec::new();
    // The file may have grown since its size was checked.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .split(|byte| *byte == b'\n')
            .count();
        io::Error::other(format!("line {line} is not UTF-8"))
    })
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("larger than {} MiB", limit >> 20))
}
