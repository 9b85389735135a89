//! Reads the manifests that `[deploy]` names: regular text files, within limits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::PlanError;
use crate::machine::read_text;
use crate::manifest::{self, Folder};

/// The maximum size of a manifest, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How many manifests a folder may contain.
const MAX_FILES: usize = 500;

/// The manifests in the folder `path`, or the single file at `path`.
pub(super) fn folder(base: &Path, path: &Path) -> Result<Folder, PlanError> {
    let whole = base.join(path);
    let mut reader = Reader::default();
    let label = if whole.is_dir() {
        reader.read_below(&whole, "")?;
        path
    } else {
        let name = whole.file_name().unwrap_or_default().to_string_lossy();
        reader.read_file(&whole, name.into_owned())?;
        path.parent().unwrap_or(path)
    };
    Ok(Folder::new(label.display().to_string(), reader.files))
}

/// The name of the file at `path` for messages, and its text.
pub(super) fn file(base: &Path, path: &Path) -> Result<(String, String), PlanError> {
    let whole = base.join(path);
    let text = read_text(&whole, MAX_FILE).map_err(|source| failed(&whole, source))?;
    Ok((path.display().to_string(), text))
}

#[derive(Default)]
struct Reader {
    /// The text of each file, by its path inside the folder.
    files: BTreeMap<String, String>,
    /// The real paths of the folders that lead to the current one.
    above: Vec<PathBuf>,
}

impl Reader {
    fn read_below(&mut self, folder: &Path, prefix: &str) -> Result<(), PlanError> {
        let failed = |source| failed(folder, source);
        let real = folder.canonicalize().map_err(failed)?;
        if self.above.contains(&real) {
            return Err(failed(io::Error::other(
                "the link points back to a parent folder",
            )));
        }
        if folder.join("Chart.yaml").is_file() {
            return Err(failed(io::Error::other(
                "the folder is a Helm chart: use `chart` instead of `manifests`",
            )));
        }
        self.above.push(real);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.read_below(&entry.path(), &format!("{name}/"))?;
            } else if manifest::is_manifest_name(&name) {
                self.read_file(&entry.path(), name)?;
            }
        }
        self.above.pop();
        Ok(())
    }

    fn read_file(&mut self, path: &Path, name: String) -> Result<(), PlanError> {
        if self.files.len() == MAX_FILES {
            let message = format!("the folder contains more than {MAX_FILES} manifests");
            return Err(failed(path, io::Error::other(message)));
        }
        let text = read_text(path, MAX_FILE).map_err(|source| failed(path, source))?;
        self.files.insert(name, text);
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> PlanError {
    PlanError::Read {
        path: path.to_owned(),
        table: "[deploy]".to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The error from reading a folder that `prepare` has filled; `fine` if there is none.
    fn result_of(prepare: impl FnOnce(&Path)) -> String {
        let base = tempfile::tempdir().unwrap();
        prepare(base.path());
        match folder(base.path(), Path::new("")) {
            Ok(_) => "fine".to_owned(),
            Err(PlanError::Read { path, source, .. }) => {
                let path = path.strip_prefix(base.path()).unwrap();
                format!("{}: {source}", path.display())
            }
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn the_error_names_a_file_that_is_not_text() {
        let binary = |folder: &Path| fs::write(folder.join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
        assert_eq!(result_of(binary), "a.yaml: line 2 is not UTF-8");
        let pipe = |folder: &Path| {
            let pipe = folder.join("a.yaml");
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        };
        assert_eq!(result_of(pipe), "a.yaml: not a regular file");
    }

    #[test]
    fn files_that_are_too_large_are_rejected() {
        let large = |folder: &Path| {
            let file = File::create(folder.join("a.yaml")).unwrap();
            file.set_len(1 << 40).unwrap();
        };
        assert_eq!(result_of(large), "a.yaml: larger than 1 MiB");
        let many = |folder: &Path| {
            for index in 0..=MAX_FILES {
                fs::write(folder.join(format!("{index}.yaml")), "").unwrap();
            }
        };
        assert!(result_of(many).ends_with("more than 500 manifests"));
    }

    #[test]
    fn a_helm_chart_is_rejected() {
        let chart = |folder: &Path| {
            fs::create_dir_all(folder.join("plexd/templates")).unwrap();
            fs::write(folder.join("plexd/Chart.yaml"), "name: plexd").unwrap();
        };
        assert_eq!(
            result_of(chart),
            "plexd: the folder is a Helm chart: use `chart` instead of `manifests`"
        );
    }

    #[test]
    fn links_to_parent_folders_are_rejected() {
        let circular = |folder: &Path| {
            symlink(folder, folder.join("a")).unwrap();
            symlink(folder, folder.join("b")).unwrap();
        };
        assert!(result_of(circular).ends_with("the link points back to a parent folder"));
        let twice = |folder: &Path| {
            fs::create_dir(folder.join("a")).unwrap();
            symlink(folder.join("a"), folder.join("b")).unwrap();
        };
        assert_eq!(result_of(twice), "fine");
    }
}
