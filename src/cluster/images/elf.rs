//! The part of a program that is loaded when it runs: its segments, without the symbols and debug information that follow.
//!
//! Half of a debug build is symbols, and every node gets its own copy.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Sizes and offsets in a 64-bit little-endian ELF file, as defined by the System V ABI.
mod layout {
    pub(super) const HEADER: usize = 64;
    pub(super) const MAGIC: &[u8] = b"\x7fELF\x02\x01";
    pub(super) const SEGMENTS_OFFSET: usize = 0x20;
    pub(super) const SECTIONS_OFFSET: usize = 0x28;
    pub(super) const SEGMENT_SIZE: usize = 0x36;
    pub(super) const SEGMENT_COUNT: usize = 0x38;
    pub(super) const SECTION_COUNT: usize = 0x3C;
    pub(super) const FILE_OFFSET: usize = 0x08;
    pub(super) const FILE_SIZE: usize = 0x20;
}

/// The part of the program at `path` that is loaded when it runs. A file that isn't a 64-bit ELF file is returned unchanged.
pub(super) fn loaded_part(path: &Path) -> io::Result<Vec<u8>> {
    let mut program = Vec::new();
    File::open(path)?.read_to_end(&mut program)?;
    if let Some(end) = end_of_segments(&program).filter(|end| *end < program.len()) {
        program.truncate(end);
        // The section table came after the segments and has been cut off, so the header must not refer to it.
        program[layout::SECTIONS_OFFSET..layout::SECTIONS_OFFSET + 8].fill(0);
        program[layout::SECTION_COUNT..layout::HEADER].fill(0);
    }
    Ok(program)
}

/// The end of the last byte that a segment needs.
fn end_of_segments(program: &[u8]) -> Option<usize> {
    if !program.starts_with(layout::MAGIC) {
        return None;
    }
    let table = number(program, layout::SEGMENTS_OFFSET, 8)?;
    let size = number(program, layout::SEGMENT_SIZE, 2)?;
    let count = number(program, layout::SEGMENT_COUNT, 2)?;
    let end_of = |index: usize| {
        let segment = table.checked_add(size.checked_mul(index)?)?;
        let offset = number(program, segment.checked_add(layout::FILE_OFFSET)?, 8)?;
        offset.checked_add(number(program, segment.checked_add(layout::FILE_SIZE)?, 8)?)
    };
    let ends = (0..count).map(end_of).collect::<Option<Vec<_>>>()?;
    let table_end = table.checked_add(size.checked_mul(count)?)?;
    ends.into_iter().chain([table_end, layout::HEADER]).max()
}

/// The little-endian number of `length` bytes at `offset`.
fn number(program: &[u8], offset: usize, length: usize) -> Option<usize> {
    let bytes = program.get(offset..offset.checked_add(length)?)?;
    let value = bytes
        .iter()
        .rev()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stripped_program_is_smaller_and_still_runs() {
        let whole = std::env::current_exe().unwrap();
        let part = loaded_part(&whole).unwrap();
        assert!((part.len() as u64) < std::fs::metadata(&whole).unwrap().len());
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("program");
        std::fs::write(&copy, part).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        let output = std::process::Command::new(&copy)
            .arg("--list")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn other_files_are_returned_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        for content in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x02\x01 torn"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(loaded_part(&path).unwrap(), content);
        }
    }
}
