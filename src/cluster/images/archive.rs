//! Image archives: files in the format of `docker save`, from which images are streamed into the engine and into nodes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::rootfs::{self, LIBRARIES, PROGRAM, Rootfs};
use super::{LABEL, Role, inaccessible};
use crate::error::chain;
use crate::event::Failure;
use crate::machine::{Lock, replace_private};

/// An archive on disk. While this value exists, no process deletes the file.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// The images in it.
    pub images: Vec<ArchivedImage>,
    _lock: Arc<Lock>,
}

/// An image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedImage {
    /// Its name.
    pub name: String,
    /// The digest of its configuration, `sha256:…`. It identifies the image in the engine and on nodes.
    pub digest: String,
}

/// One entry of an archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
}

const MANIFEST: &str = "manifest.json";

/// How many archives are kept in addition to the newest.
const KEPT: usize = 6;

impl Archive {
    /// Opens the archive at `path`; `None` if it doesn't exist.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let lock = Lock::try_share_existing(path)?;
        let Some(lock) = lock.map(Arc::new) else {
            return Ok(None);
        };
        // While the lock is held, no process deletes the file.
        let read = || -> io::Result<Vec<ArchivedImage>> {
            let file = File::open(path)?;
            // Archives are pruned in the order of their last use.
            file.set_modified(SystemTime::now())?;
            let mut tar = tar::Archive::new(file);
            for entry in tar.entries_with_seek()? {
                let entry = entry?;
                if entry.path()?.as_os_str() == MANIFEST {
                    return images(entry);
                }
            }
            Err(io::Error::other("it has no manifest.json"))
        };
        let images = read().map_err(|error| inaccessible(path, chain(&error)))?;
        Ok(Some(Self {
            path: path.to_owned(),
            images,
            _lock: lock,
        }))
    }

    /// Writes the archive of the reference images `named`, which share the single layer `rootfs`.
    pub(super) fn write(
        path: &Path,
        rootfs: &Rootfs,
        named: &[(Role, impl AsRef<str>)],
    ) -> Result<(), Failure> {
        let layer = rootfs.layer()?;
        let diff = hex::encode(Sha256::digest(&layer));
        let layer_name = format!("{diff}/layer.tar");
        let mut manifest = Vec::new();
        let mut configs = Vec::new();
        for (role, name) in named {
            let config = config(*role, &diff).to_string().into_bytes();
            let config_name = format!("{}.json", hex::encode(Sha256::digest(&config)));
            manifest.push(
                json!({"Config": config_name, "RepoTags": [name.as_ref()], "Layers": [layer_name]}),
            );
            configs.push((config_name, config));
        }
        let manifest = Value::from(manifest).to_string().into_bytes();
        replace_private(path, |file| {
            let mut tar = tar::Builder::new(file);
            let mut append = |name: &str, content: &[u8]| {
                rootfs::add(&mut tar, tar::EntryType::Regular, 0o644, name, content)
            };
            append(MANIFEST, &manifest)?;
            for (name, config) in &configs {
                append(name, config)?;
            }
            append(&layer_name, &layer)?;
            tar.into_inner()?.flush()
        })
        .map_err(|error| inaccessible(path, chain(&error)))
    }
}

/// The images that a `manifest.json` lists. In every version of the format, the file name of a configuration contains
/// its digest.
fn images(manifest: impl Read) -> io::Result<Vec<ArchivedImage>> {
    let entries: Vec<ManifestEntry> = serde_json::from_reader(manifest)?;
    let mut images = Vec::new();
    for entry in entries {
        let file = entry.config.rsplit('/').next().unwrap_or_default();
        let digest = format!("sha256:{}", file.trim_end_matches(".json"));
        for name in entry.repo_tags.unwrap_or_default() {
            let digest = digest.clone();
            images.push(ArchivedImage { name, digest });
        }
    }
    Ok(images)
}

/// An image configuration. Its timestamps are constant, so that the same content always has the same digest.
fn config(role: Role, diff: &str) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": [PROGRAM, role.subcommand()],
            "Env": [format!("LD_LIBRARY_PATH={LIBRARIES}"), "PATH=/"],
            "Labels": { LABEL: role.name() },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "e2e-matrix" }],
    })
}

/// The machine's architecture, as named in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}

/// Deletes archives from `folder`, except for the most recently used ones and those that a run still uses.
pub(super) fn prune(folder: &Path) -> io::Result<()> {
    let mut archives: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            archives.push((entry.metadata()?.modified()?, path));
        }
    }
    archives.sort();
    let old = archives.len().saturating_sub(KEPT + 1);
    archives
        .iter()
        .take(old)
        .try_for_each(|(_, path)| remove_unused(path).map(drop))
}

/// Deletes the archive at `path` unless a run uses it. Returns whether it was deleted.
pub(crate) fn remove_unused(path: &Path) -> io::Result<bool> {
    let lock = Lock::try_take_existing(path).map_err(|error| error.source)?;
    match lock {
        Some(lock) => lock.remove().map(|()| true).map_err(|error| error.source),
        None => Ok(!path.exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_archive_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/images.tar");
        assert!(Archive::open(&path).unwrap().is_none());
        let rootfs = Rootfs::of(&std::env::current_exe().unwrap()).unwrap();
        let named = [
            (Role::Agent, "e2e-matrix/agent:1"),
            (Role::Mock, "e2e-matrix/mock:1"),
        ];
        Archive::write(&path, &rootfs, &named).unwrap();
        let archive = Archive::open(&path).unwrap().unwrap();
        let names: Vec<_> = archive
            .images
            .iter()
            .map(|image| image.name.as_str())
            .collect();
        assert_eq!(names, ["e2e-matrix/agent:1", "e2e-matrix/mock:1"]);
        assert_ne!(archive.images[0].digest, archive.images[1].digest);
        assert_eq!(
            fs::read_dir(folder.path().join("cache")).unwrap().count(),
            1
        );
    }

    #[test]
    fn both_names_of_a_configuration_are_accepted() {
        let hash = "a".repeat(64);
        for config in [format!("{hash}.json"), format!("blobs/sha256/{hash}")] {
            let manifest = format!(r#"[{{"Config":"{config}","RepoTags":["a:1"],"Layers":[]}}]"#);
            assert_eq!(
                images(manifest.as_bytes()).unwrap()[0].digest,
                format!("sha256:{hash}")
            );
        }
    }

    #[test]
    fn an_incomplete_archive_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.tar");
        fs::write(&path, [0; 1024]).unwrap();
        assert!(Archive::open(&path).is_err());
    }

    #[test]
    fn old_archives_are_pruned_and_new_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 4 {
            let path = folder.path().join(format!("{number:02}.tar"));
            let file = File::create(&path).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            file.set_modified(time).unwrap();
        }
        let held = Lock::try_share_existing(&folder.path().join("00.tar")).unwrap();
        assert!(held.is_some());
        prune(folder.path()).unwrap();
        assert!(folder.path().join("00.tar").exists(), "a run holds it");
        assert!(!folder.path().join("02.tar").exists());
        assert!(folder.path().join("03.tar").exists());
    }
}
