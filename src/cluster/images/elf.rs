//! The part of a program that is loaded when it runs, without the symbols and debug information that follow it in the
//! file.
//!
//! Symbols make up almost half of a debug build, and each node gets its own copy of the program.

use std::fs;
use std::io;
use std::mem::offset_of;
use std::path::Path;

use goblin::container::{Container, Ctx};
use goblin::elf::{Elf, ProgramHeader};
use goblin::elf64::header::{Header, SIZEOF_EHDR};

/// The program at `path` up to the end of its last segment; the whole file if it isn't a 64-bit ELF file.
pub(super) fn loaded_part(path: &Path) -> io::Result<Vec<u8>> {
    let mut program = fs::read(path)?;
    if let Some(end) = end_of_segments(&program).filter(|end| *end < program.len()) {
        program.truncate(end);
        // The section table came after the segments and has been cut off, so the header must not refer to it.
        program[offset_of!(Header, e_shoff)..offset_of!(Header, e_flags)].fill(0);
        program[offset_of!(Header, e_shnum)..SIZEOF_EHDR].fill(0);
    }
    Ok(program)
}

/// The end of the last part of the file that is needed to load the program.
fn end_of_segments(program: &[u8]) -> Option<usize> {
    let header = Elf::parse_header(program).ok()?;
    let container = header.container().ok()?;
    if container != Container::Big {
        return None;
    }
    let context = Ctx::new(container, header.endianness().ok()?);
    let (table, count) = (usize::try_from(header.e_phoff).ok()?, header.e_phnum.into());
    let segments = ProgramHeader::parse(program, table, count, context).ok()?;
    let table_end = table + usize::from(header.e_phentsize) * count;
    let ends = segments.iter().map(|segment| segment.file_range().end);
    ends.chain([table_end, SIZEOF_EHDR]).max()
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
