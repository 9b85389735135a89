//! A pod's volumes as folders: host paths outlive the pod, all others are created for each pod.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};

use super::contents::{Contents, Keys, Kind};
use super::environment::{self, PodFacts};
use super::failure;
use crate::event::Failure;
use crate::machine::private_folder;
use crate::machine::sandbox::Mount;

/// A folder with files, to be created before the container starts.
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    sub_folders: Vec<PathBuf>,
    /// Whether the cluster provides the content.
    is_given: bool,
}

/// The folders of a pod's volumes by name. `host` is the node's root, `pod` is the pod's own folder.
pub(super) fn plan(
    spec: &PodSpec,
    facts: &PodFacts,
    contents: &Contents,
    (host, pod): (&Path, &Path),
) -> Result<BTreeMap<String, Folder>, Failure> {
    let volumes = spec.volumes.iter().flatten();
    let planned = volumes.map(|volume| {
        let path = match &volume.host_path {
            Some(from) => host.join(below_root(Path::new(&from.path))),
            None => pod
                .join("volumes")
                .join(below_root(Path::new(&volume.name))),
        };
        let files = files_of(volume, facts, contents)?;
        let folder = Folder {
            path,
            files,
            sub_folders: Vec::new(),
            is_given: volume.host_path.is_none() && volume.empty_dir.is_none(),
        };
        Ok((volume.name.clone(), folder))
    });
    planned.collect()
}

/// The mounts of `container`, each with the path of its volume's folder or of a part of it.
pub(super) fn mounts(container: &Container, folders: &mut BTreeMap<String, Folder>) -> Vec<Mount> {
    let mounts = container.volume_mounts.iter().flatten();
    let mounts = mounts.filter_map(|mount| {
        let folder = folders.get_mut(&mount.name)?;
        let mut source = folder.path.clone();
        if let Some(sub_path) = &mount.sub_path {
            source.push(below_root(Path::new(sub_path)));
            // If the volume has files, it may be one of them.
            if folder.files.is_empty() {
                folder.sub_folders.push(source.clone());
            }
        }
        Some(Mount {
            source,
            target: Path::new("/").join(below_root(Path::new(&mount.mount_path))),
            read_only: mount.read_only == Some(true) || folder.is_given,
        })
    });
    mounts.collect()
}

/// Creates the folders and writes their files.
pub(super) fn write(folders: &[Folder]) -> io::Result<()> {
    for folder in folders {
        private_folder(&folder.path)?;
        for path in &folder.sub_folders {
            private_folder(path)?;
        }
        for (name, bytes) in &folder.files {
            let path = folder.path.join(name);
            if let Some(parent) = path.parent() {
                private_folder(parent)?;
            }
            write_private(&path, bytes)?;
        }
    }
    Ok(())
}

fn files_of(
    volume: &Volume,
    facts: &PodFacts,
    contents: &Contents,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    if let Some(from) = &volume.secret {
        let name = from.secret_name.as_deref().unwrap_or_default();
        let keys = environment::optional_keys(contents, Kind::Secret, name, from.optional)?;
        files.extend(chosen(keys, from.items.as_deref()));
    } else if let Some(from) = &volume.config_map {
        let keys =
            environment::optional_keys(contents, Kind::ConfigMap, &from.name, from.optional)?;
        files.extend(chosen(keys, from.items.as_deref()));
    } else if let Some(from) = &volume.projected {
        for source in from.sources.iter().flatten() {
            if let Some(from) = &source.secret {
                let keys =
                    environment::optional_keys(contents, Kind::Secret, &from.name, from.optional)?;
                files.extend(chosen(keys, from.items.as_deref()));
            }
            if let Some(from) = &source.config_map {
                let keys = environment::optional_keys(
                    contents,
                    Kind::ConfigMap,
                    &from.name,
                    from.optional,
                )?;
                files.extend(chosen(keys, from.items.as_deref()));
            }
        }
    } else if let Some(from) = &volume.downward_api {
        for item in from.items.iter().flatten() {
            if let Some(field) = &item.field_ref {
                let value = environment::field_of(field, facts)?;
                files.insert(below_root(Path::new(&item.path)), value.into_bytes());
            }
        }
    } else if volume.host_path.is_none() && volume.empty_dir.is_none() {
        let what = format!("the local provider has no such volume as `{}`", volume.name);
        return Err(failure::container(what));
    }
    Ok(files)
}

/// All keys as files, or those that `items` selects.
fn chosen(keys: Option<&Keys>, items: Option<&[KeyToPath]>) -> Vec<(PathBuf, Vec<u8>)> {
    let Some(keys) = keys else {
        return Vec::new();
    };
    let pairs: Vec<(&Path, &Vec<u8>)> = match items {
        None => keys
            .iter()
            .map(|(key, bytes)| (Path::new(key), bytes))
            .collect(),
        Some(items) => items
            .iter()
            .filter_map(|item| Some((Path::new(&item.path), keys.get(&item.key)?)))
            .collect(),
    };
    pairs
        .into_iter()
        .map(|(path, bytes)| (below_root(path), bytes.clone()))
        .collect()
}

/// The path without any parts that could lead out of the folder that it is joined to.
fn below_root(path: &Path) -> PathBuf {
    let parts = path.components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        assert_eq!(
            below_root(Path::new("/var/lib/plexd")),
            Path::new("var/lib/plexd")
        );
        assert_eq!(below_root(Path::new("../../etc/./x")), Path::new("etc/x"));
    }
}
