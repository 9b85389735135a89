//! The content of a reference image: the runner's binary, its loader and its shared libraries.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lddtree::DependencyAnalyzer;
use sha2::{Digest, Sha256};

use super::elf::loaded_part;
use super::inaccessible;
use crate::event::{Failure, Symptom};

/// The path of the binary in the image.
pub(super) const PROGRAM: &str = "/e2e-matrix";

/// The folder of the libraries in the image. It may differ from their folder on the host, because the loader finds them
/// with `LD_LIBRARY_PATH`.
pub(super) const LIBRARIES: &str = "/lib/e2e-matrix";

/// Part of every content hash. Change this text whenever the construction of images changes.
const LAYOUT: &str = "layout 2";

/// The files of a reference image, in the order of the layer: for each file, its path in the image and its path on the
/// host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rootfs(Vec<(String, PathBuf)>);

impl Rootfs {
    /// The files that `runner` needs.
    pub(super) fn of(runner: &Path) -> Result<Self, Failure> {
        let tree = DependencyAnalyzer::default()
            .analyze(runner)
            .map_err(|error| inaccessible(runner, error))?;
        let mut files = vec![(PROGRAM.to_owned(), runner.to_owned())];
        if let Some(interpreter) = tree.interpreter {
            files.push((interpreter.clone(), PathBuf::from(interpreter)));
        }
        let libraries: BTreeMap<_, _> = tree.libraries.into_iter().collect();
        for (name, library) in libraries {
            if files.iter().any(|(_, host)| same_file(host, &library.path)) {
                continue;
            }
            let host = library.realpath.ok_or_else(|| missing(runner, &name))?;
            let file = library.path.file_name();
            let name = file.map_or(name.into(), OsStr::to_string_lossy);
            files.push((format!("{LIBRARIES}/{name}"), host));
        }
        Ok(Self(files))
    }

    /// A hash of names and contents, in hexadecimal.
    pub(super) fn digest(&self) -> Result<String, Failure> {
        let mut hash = Sha256::new();
        hash.update(LAYOUT);
        for (name, host) in &self.0 {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            let content = content(name, host).map_err(|error| inaccessible(host, error))?;
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// The layer: a reproducible tar archive of the files.
    pub(super) fn layer(&self) -> Result<Vec<u8>, Failure> {
        let mut tar = tar::Builder::new(Vec::new());
        for folder in ["tmp/", "etc/", "var/", "run/"] {
            let mode = if folder == "tmp/" { 0o1777 } else { 0o755 };
            add(&mut tar, tar::EntryType::Directory, mode, folder, &[])
                .map_err(|error| inaccessible(Path::new(folder), error))?;
        }
        for (name, host) in &self.0 {
            let kind = tar::EntryType::Regular;
            let path = name.trim_start_matches('/');
            content(name, host)
                .and_then(|content| add(&mut tar, kind, 0o755, path, &content))
                .map_err(|error| inaccessible(host, error))?;
        }
        tar.into_inner()
            .map_err(|error| inaccessible(Path::new(PROGRAM), error))
    }
}

fn same_file(left: &Path, right: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    left == right || real(left).is_some_and(|left| Some(left) == real(right))
}

fn missing(runner: &Path, library: &str) -> Failure {
    let runner = runner.display();
    let message = format!(
        "failed to create an image from {runner}: its library {library} does not exist on this machine"
    );
    Failure::new(Symptom::ImageBuildFailed, message)
}

/// Adds an entry with a constant owner and timestamp, so that the archive is reproducible.
pub(super) fn add(
    tar: &mut tar::Builder<impl io::Write>,
    kind: tar::EntryType,
    mode: u32,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content)
}

/// The content of the image's file `name`, which comes from the file `host` on the host.
fn content(name: &str, host: &Path) -> io::Result<Vec<u8>> {
    if name == PROGRAM {
        loaded_part(host)
    } else {
        fs::read(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_binary_includes_its_loader_and_libraries() {
        let runner = std::env::current_exe().unwrap();
        let rootfs = Rootfs::of(&runner).unwrap();
        let names: Vec<_> = rootfs.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], PROGRAM);
        if cfg!(all(
            target_os = "linux",
            target_env = "gnu",
            not(target_feature = "crt-static")
        )) {
            assert!(
                names.iter().any(|name| name.contains("/ld-linux")),
                "{names:?}"
            );
            assert!(names.contains(&"/lib/e2e-matrix/libc.so.6"), "{names:?}");
        }
    }

    #[test]
    fn the_hash_depends_on_the_content_and_the_layer_is_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        let rootfs = Rootfs(vec![(PROGRAM.to_owned(), file.clone())]);
        std::fs::write(&file, "one").unwrap();
        let (first, layer) = (rootfs.digest().unwrap(), rootfs.layer().unwrap());
        assert_eq!(rootfs.digest().unwrap(), first);
        assert_eq!(rootfs.layer().unwrap(), layer);
        std::fs::write(&file, "two").unwrap();
        assert_ne!(rootfs.digest().unwrap(), first);
    }

    #[test]
    fn the_error_names_a_file_that_is_not_a_binary() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let failure = Rootfs::of(&file).unwrap_err();
        assert_eq!(failure.symptom, Symptom::ImageBuildFailed);
        assert!(failure.message.contains("script"), "{failure}");
    }
}
