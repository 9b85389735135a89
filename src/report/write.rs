//! Writes the reports of a run in parallel, each completely or not at all. A report that can't be written doesn't
//! affect the others.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{html, junit, summary, timings};
use crate::machine::replace;
use crate::matrix::named;
use crate::record::model::RunModel;

named! {
    /// A report that is written when a run ends, with the name of its file in the run's folder.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Report {
        /// For CI servers.
        Junit = "junit.xml",
        /// For a pull request or a job's page.
        Summary = "summary.md",
        /// For a browser.
        Html = "report.html",
        /// For splitting the next run into shards.
        Timings = "timings.json",
    }
}

impl Report {
    /// Writes the content. `folder` is the run's folder, as it appears in paths.
    fn write(self, run: &RunModel, folder: &Path, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Junit => junit::write(run, folder, out),
            Self::Summary => out.write_all(summary::markdown(run).as_bytes()),
            Self::Html => html::write(run, out),
            Self::Timings => out.write_all(timings::render(run).as_bytes()),
        }
    }

    /// The content.
    #[cfg(test)]
    pub(crate) fn render(self, run: &RunModel) -> String {
        let mut content = Vec::new();
        self.write(run, Path::new(""), &mut content).unwrap();
        String::from_utf8(content).unwrap()
    }
}

/// Additional locations of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The additional JUnit file.
    pub junit: Option<PathBuf>,
    /// The additional Markdown summary.
    pub summary: Option<PathBuf>,
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {}", path.display())]
pub struct WriteError {
    /// The path.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Writes all reports of `run` to `folder`, and the copies. Returns the errors.
pub fn write_all(folder: &Path, copies: &Copies, run: &RunModel) -> Vec<WriteError> {
    let shown = from_here(folder);
    let failures = Report::ALL.par_iter().flat_map_iter(|report| {
        let copy = copies.of(*report).cloned();
        let paths = std::iter::once(folder.join(report.name())).chain(copy);
        paths.filter_map(move |path| {
            let written = replace(&path, |out| report.write(run, shown, out));
            let source = written.err()?;
            Some(WriteError { path, source })
        })
    });
    failures.collect()
}

/// `folder` as a path from the current folder, if it is inside it: CI servers resolve relative paths from the job's
/// workspace.
fn from_here(folder: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| folder.strip_prefix(here).ok())
        .or_else(|| folder.strip_prefix(".").ok())
        .unwrap_or(folder)
}

impl Copies {
    /// The paths of all copies.
    pub fn paths(&self) -> Vec<PathBuf> {
        let paths = [&self.junit, &self.summary].into_iter().flatten();
        paths.cloned().collect()
    }

    const fn of(&self, report: Report) -> Option<&PathBuf> {
        match report {
            Report::Junit => self.junit.as_ref(),
            Report::Summary => self.summary.as_ref(),
            Report::Html | Report::Timings => None,
        }
    }
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
    fn all_reports_and_copies_are_written_and_nothing_else() {
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
    fn the_run_folder_is_named_from_the_current_folder() {
        let here = std::env::current_dir().unwrap();
        let inside = here.join("runs/a");
        for (folder, expected) in [
            (inside.as_path(), "runs/a"),
            (Path::new("./runs/a"), "runs/a"),
            (Path::new("runs/a"), "runs/a"),
            (Path::new("/elsewhere/a"), "/elsewhere/a"),
        ] {
            assert_eq!(from_here(folder), Path::new(expected));
        }
    }

    #[test]
    fn attachments_are_found_from_every_copy_of_the_junit_file() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let copies = Copies {
            junit: Some(other.path().join("copy.xml")),
            summary: None,
        };
        let run = RunModel::new(&fixture::mixed());
        let failures = write_all(folder.path(), &copies, &run);
        assert!(failures.is_empty(), "{failures:?}");
        let files = run.cells.iter().flat_map(|cell| &cell.diagnostics);
        let paths: Vec<_> = files
            .map(|file| from_here(folder.path()).join(file))
            .collect();
        assert!(!paths.is_empty());
        for file in [
            folder.path().join("junit.xml"),
            other.path().join("copy.xml"),
        ] {
            let text = std::fs::read_to_string(file).unwrap();
            for path in &paths {
                let line = format!("[[ATTACHMENT|{}]]", path.display());
                assert!(text.contains(&line), "{line}\n{text}");
            }
        }
    }

    #[test]
    fn reports_keep_long_lines_whole_and_name_the_full_log() {
        let line = format!("level=error {}", "it is not so ".repeat(40)) + &"x".repeat(200);
        let run = RunModel::new(&fixture::with_log_line(&line));
        for report in [Report::Junit, Report::Summary, Report::Html] {
            let text = report.render(&run);
            let lines = text.lines().filter(|quoted| quoted.contains(&line)).count();
            assert!(lines >= 2, "{}: {text}", report.name());
            assert!(text.contains(fixture::LOG_FILE), "{}", report.name());
        }
    }

    #[test]
    fn a_failed_report_does_not_affect_the_others() {
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
}
