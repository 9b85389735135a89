//! The build context of an image: the files in its folder, except for those that `.dockerignore` excludes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wildmatch::WildMatch;

use super::inaccessible;
use crate::event::Failure;
use crate::matrix::Build;

/// The Dockerfile's name in the archive. The Dockerfile is added under this separate name, because it may be outside
/// the context, or ignored there.
pub(super) const DOCKERFILE: &str = ".e2e-matrix.Dockerfile";

/// The context of `build` as a tar archive. The paths of `build` are relative to `base`.
pub(super) fn archive(base: &Path, build: &Build) -> Result<Vec<u8>, Failure> {
    let folder = base.join(&build.context);
    let dockerfile = base.join(&build.dockerfile);
    let failed = |error: io::Error| inaccessible(&folder, error);
    let ignored = Ignored::read(&folder).map_err(failed)?;
    let mut files = Vec::new();
    collect(&folder, Path::new(""), &ignored, &mut files).map_err(failed)?;
    files.sort();
    let bytes = size(&folder, &files).map_err(failed)?;
    let mut tar = tar::Builder::new(Vec::with_capacity(bytes));
    tar.mode(tar::HeaderMode::Deterministic);
    tar.follow_symlinks(false);
    for file in &files {
        let path = folder.join(file);
        tar.append_path_with_name(&path, file)
            .map_err(|error| inaccessible(&path, error))?;
    }
    tar.append_path_with_name(&dockerfile, DOCKERFILE)
        .map_err(|error| inaccessible(&dockerfile, error))?;
    tar.into_inner().map_err(failed)
}

/// The maximum size of a context, in MiB. The whole context is kept in memory.
const MAX_SIZE: u64 = 512;

/// The approximate size of the archive of `files`, in bytes.
fn size(folder: &Path, files: &[PathBuf]) -> io::Result<usize> {
    let mut bytes = 0_u64;
    for file in files {
        bytes = bytes.saturating_add(1024 + fs::symlink_metadata(folder.join(file))?.len());
    }
    if bytes > MAX_SIZE << 20 {
        let message = format!(
            "the build context is larger than {MAX_SIZE} MiB; exclude what the image does not need with .dockerignore"
        );
        return Err(io::Error::other(message));
    }
    usize::try_from(bytes).map_err(io::Error::other)
}

/// The files below `folder`/`below`, relative to `folder`.
fn collect(
    folder: &Path,
    below: &Path,
    ignored: &Ignored,
    files: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let is_ignored = ignored.matches(&path);
        if entry.file_type()?.is_dir() {
            // A later `!` rule may re-include a path below an ignored folder.
            if !is_ignored || ignored.has_exceptions() {
                collect(folder, &path, ignored, files)?;
            }
        } else if !is_ignored {
            files.push(path);
        }
    }
    Ok(())
}

/// The rules of a `.dockerignore` in order; the last matching rule decides.
#[derive(Debug, Default)]
struct Ignored(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Vec<String>,
    is_exception: bool,
}

impl Ignored {
    fn read(folder: &Path) -> io::Result<Self> {
        match fs::read_to_string(folder.join(".dockerignore")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let rules = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rule = |line: &str| {
            let (is_exception, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let is_part = |part: &&str| !part.is_empty() && *part != ".";
            let parts = pattern.split('/').filter(is_part);
            Rule {
                pattern: parts.map(str::to_owned).collect(),
                is_exception,
            }
        };
        let rules = rules.map(rule).filter(|rule| !rule.pattern.is_empty());
        Self(rules.collect())
    }

    fn has_exceptions(&self) -> bool {
        self.0.iter().any(|rule| rule.is_exception)
    }

    fn matches(&self, path: &Path) -> bool {
        let parts: Vec<_> = path
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let applies =
            |rule: &&Rule| (1..=parts.len()).any(|end| matches(&rule.pattern, &parts[..end]));
        let last = self.0.iter().rev().find(applies);
        last.is_some_and(|rule| !rule.is_exception)
    }
}

/// Whether `pattern` matches all of `parts`. A part of the pattern may contain `*` and `?`, or be `**`.
fn matches(pattern: &[String], parts: &[String]) -> bool {
    match pattern.split_first() {
        None => parts.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=parts.len()).any(|skipped| matches(rest, &parts[skipped..]))
        }
        Some((first, rest)) => parts.split_first().is_some_and(|(part, others)| {
            WildMatch::new(first).matches(part) && matches(rest, others)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_rule_decides() {
        let ignored =
            Ignored::parse("# what is built\ntarget\n**/*.log\ndocs/*\n!docs/README.md\n");
        for (path, expected) in [
            ("target", true),
            ("target/debug/program", true),
            ("src/target", false),
            ("a/b/c.log", true),
            ("c.log", true),
            ("docs/guide.md", true),
            ("docs/README.md", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(ignored.matches(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn ignored_files_are_not_in_the_context() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Dockerfile", "FROM scratch");
        write(".dockerignore", "target");
        write("src/main.rs", "fn main() {}");
        write("target/debug/big", "big");
        let build = Build {
            dockerfile: "Dockerfile".into(),
            context: ".".into(),
            args: std::collections::BTreeMap::new(),
        };
        let context = archive(folder.path(), &build).unwrap();
        let mut tar = tar::Archive::new(context.as_slice());
        let names: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            [".dockerignore", "Dockerfile", "src/main.rs", DOCKERFILE]
        );
    }
}
