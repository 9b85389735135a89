//! The files of a merged run: the folder of each cell, taken from the part that reports it.

use std::fs;
use std::io;
use std::path::Path;

use super::Part;

/// The name of the folder that contains the cells' folders.
pub(crate) const CELLS: &str = "cells";

/// Copies the folders of the cells that are reported from `parts` to the folder `to` of the merged run.
pub fn copy_cells(parts: &[Part], to: &Path) -> io::Result<()> {
    let to = to.join(CELLS);
    fs::create_dir_all(&to)?;
    for part in parts {
        for cell in &part.reported {
            let from = part.folder.join(CELLS).join(cell.as_str());
            if fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_dir()) {
                copy(&from, &to.join(cell.as_str()))?;
            }
        }
    }
    Ok(())
}

/// Copies files and folders. Links are skipped, because what they point to isn't part of the run.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
