//! Writes the reports of a run: each whole or not at all, all at once, none stopped by another's failure.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{html, junit, summary, timings};
use crate::record::model::RunModel;

/// A report that is written when a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// For CI servers.
    Junit,
    /// For a pull request or a job's page.
    Summary,
    /// For a browser.
    Html,
    /// For those who split the next run over machines.
    Timings,
}

impl Report {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Junit, Self::Summary, Self::Html, Self::Timings];

    /// Its name in a run's folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Junit => "junit.xml",
            Self::Summary => "summary.md",
            Self::Html => "report.html",
            Self::Timings => "timings.json",
        }
    }

    /// Its text.
    pub fn render(self, run: &RunModel) -> String {
        match self {
            Self::Junit => junit::render(run),
            Self::Summary => summary::markdown(run),
            Self::Html => html::render(run),
            Self::Timings => timings::render(run),
        }
    }
}

/// How the names of files begin that are to become reports; the process's id follows.
pub(crate) const TEMPORARY: &str = ".report-";

/// Where else reports go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The JUnit file's second place.
    pub junit: Option<PathBuf>,
    /// The Markdown summary's second place.
    pub summary: Option<PathBuf>,
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {}", path.display())]
pub struct WriteError {
    /// Its place.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes every report of `run` into `folder`, and the copies. Gives back what could not be written.
pub fn write_all(folder: &Path, copies: &Copies, run: &RunModel) -> Vec<WriteError> {
    let failures = Report::ALL.par_iter().flat_map_iter(|report| {
        let text = report.render(run);
        let copy = copies.of(*report).map(Path::to_owned);
        let places = std::iter::once(folder.join(report.file_name())).chain(copy);
        places.filter_map(move |path| match replace(&path, &text) {
            Ok(()) => None,
            Err(source) => Some(WriteError { path, source }),
        })
    });
    failures.collect()
}

impl Copies {
    fn of(&self, report: Report) -> Option<&Path> {
        match report {
            Report::Junit => self.junit.as_deref(),
            Report::Summary => self.summary.as_deref(),
            Report::Html | Report::Timings => None,
        }
    }
}

/// Puts `text` at `path` under a temporary name beside it, then renames, so that no reader sees half of it. What is no
/// regular file, such as a pipe, is written to as it is.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, text);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{TEMPORARY}{}-", std::process::id()))
        // What the user's umask leaves, as for any other new file: CI servers read it under another account.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_report_and_every_copy_is_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies {
            junit: Some(folder.path().join("copy.xml")),
            summary: Some(folder.path().join("copy.md")),
        };
        let failures = write_all(folder.path(), &copies, &RunModel::new(&fixture::mixed()));
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(
            names(folder.path()),
            [
                "copy.md",
                "copy.xml",
                "junit.xml",
                "report.html",
                "summary.md",
                "timings.json"
            ]
        );
        let read = |name| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("copy.xml"), read("junit.xml"));
    }

    #[test]
    fn one_report_that_fails_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies {
            junit: Some(folder.path().join("missing/copy.xml")),
            summary: None,
        };
        let failures = write_all(folder.path(), &copies, &RunModel::new(&fixture::mixed()));
        let [failure] = &failures[..] else {
            panic!("{failures:?}");
        };
        assert_eq!(failure.source.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            names(folder.path()),
            ["junit.xml", "report.html", "summary.md", "timings.json"]
        );
    }

    #[test]
    fn a_report_replaces_the_one_before_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, "first").unwrap();
        replace(&path, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        let by_hand = folder.path().join("b");
        std::fs::write(&by_hand, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&by_hand));
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        replace(Path::new("/dev/null"), "text").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }
}
