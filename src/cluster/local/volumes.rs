//! A pod's volumes as folders: host paths outlive the pod, all others are created per pod.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, PodSpec, Volume};

use super::contents::{self, CONFIG_MAP, Data, SECRET};
use super::environment::PodFields;
use super::pod_config::invalid;
use super::resources;
use crate::event::Failure;
use crate::machine::sandbox::Mount;
use crate::machine::{create_in, private_folder, replace_private};
use crate::manifest::Rendered;

/// The contents of files by their paths below a volume's folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The folder of a volume, created before the container starts.
pub(super) struct Folder {
    /// Links in the volume can't lead out of this folder: the node's root folder, or else the volume's own folder.
    root: PathBuf,
    /// The volume's path in `root`.
    path: PathBuf,
    files: Files,
    /// The paths, in `root`, of the folders that a container mounts instead of the whole volume.
    sub_folders: Vec<PathBuf>,
    /// Whether the container must not change the content, because the volume's source provides it.
    read_only: bool,
}

/// The folders of a pod's volumes by name. `host` is the node's root folder, and `pod` is the pod's own folder.
pub(super) fn plan(
    spec: &PodSpec,
    fields: &PodFields,
    rendered: &Rendered,
    (host, pod): (&Path, &Path),
) -> Result<BTreeMap<String, Folder>, Failure> {
    let volumes = spec.volumes.iter().flatten();
    let planned = volumes.map(|volume| {
        let (root, path) = if let Some(from) = &volume.host_path {
            (host.to_owned(), below_root(&from.path))
        } else {
            let own = pod.join("volumes").join(below_root(&volume.name));
            (own, PathBuf::new())
        };
        let files = files_of(volume, spec, fields, rendered)?;
        let folder = Folder {
            root,
            path,
            files,
            sub_folders: Vec::new(),
            read_only: volume.host_path.is_none() && volume.empty_dir.is_none(),
        };
        Ok((volume.name.clone(), folder))
    });
    planned.collect()
}

/// The mounts of `container`. The source of each mount is the volume's folder or a path below it.
pub(super) fn mounts(container: &Container, folders: &mut BTreeMap<String, Folder>) -> Vec<Mount> {
    let mounts = container.volume_mounts.iter().flatten();
    let mounts = mounts.filter_map(|mount| {
        let folder = folders.get_mut(&mount.name)?;
        let mut source = folder.path.clone();
        if let Some(sub_path) = &mount.sub_path {
            source.push(below_root(sub_path));
            // If the volume has files, the sub-path may be one of them.
            if folder.files.is_empty() {
                folder.sub_folders.push(source.clone());
            }
        }
        Some(Mount {
            root: folder.root.clone(),
            source,
            target: Path::new("/").join(below_root(&mount.mount_path)),
            read_only: mount.read_only == Some(true) || folder.read_only,
        })
    });
    mounts.collect()
}

/// Creates the folders and writes their files.
pub(super) fn write(folders: &[Folder]) -> io::Result<()> {
    for folder in folders {
        private_folder(&folder.root)?;
        for path in std::iter::once(&folder.path).chain(&folder.sub_folders) {
            create_in(&folder.root, path)?;
        }
        // Only volumes that a container can't write to have files, so these paths contain no links.
        for (name, bytes) in &folder.files {
            replace_private(&folder.root.join(name), |file| file.write_all(bytes))?;
        }
    }
    Ok(())
}

/// The files of a volume of the pod `spec`. A volume with a single source works like a projected volume with only that
/// source.
fn files_of(
    volume: &Volume,
    spec: &PodSpec,
    fields: &PodFields,
    rendered: &Rendered,
) -> Result<Files, Failure> {
    let keys = |kind, name: &str, items: &Option<Vec<KeyToPath>>| {
        selected(contents::data(rendered, kind, name), items.as_deref())
    };
    let downward = |items: &Option<Vec<DownwardAPIVolumeFile>>| {
        let files = items.iter().flatten().filter_map(|item| {
            let value = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => fields.file(field),
                (None, Some(field)) => resources::value(spec, "", field),
                (None, None) => return None,
            };
            Some(value.map(|value| (below_root(&item.path), value.into_bytes())))
        });
        files.collect::<Result<Files, Failure>>()
    };
    if let Some(projected) = &volume.projected {
        let mut files = Files::new();
        for source in projected.sources.iter().flatten() {
            if let Some(from) = &source.secret {
                files.extend(keys(SECRET, &from.name, &from.items));
            }
            if let Some(from) = &source.config_map {
                files.extend(keys(CONFIG_MAP, &from.name, &from.items));
            }
            if let Some(from) = &source.downward_api {
                files.extend(downward(&from.items)?);
            }
        }
        Ok(files)
    } else if let Some(from) = &volume.secret {
        let name = from.secret_name.as_deref().unwrap_or_default();
        Ok(keys(SECRET, name, &from.items))
    } else if let Some(from) = &volume.config_map {
        Ok(keys(CONFIG_MAP, &from.name, &from.items))
    } else if let Some(from) = &volume.downward_api {
        downward(&from.items)
    } else if volume.host_path.is_some() || volume.empty_dir.is_some() {
        Ok(Files::new())
    } else {
        Err(invalid(format_args!(
            "the local provider doesn't support the type of the volume `{}`",
            volume.name
        )))
    }
}

/// The volumes with a projected source that only an API server can provide, such as a token of the ServiceAccount.
pub(super) fn incomplete(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    spec.volumes.iter().flatten().filter(|volume| {
        let projected = volume.projected.iter();
        let mut sources = projected.flat_map(|from| from.sources.iter().flatten());
        sources.any(|source| {
            source.service_account_token.is_some()
                || source.cluster_trust_bundle.is_some()
                || source.pod_certificate.is_some()
        })
    })
}

/// All keys as files, or those that `items` selects.
fn selected(data: Data, items: Option<&[KeyToPath]>) -> Files {
    match items {
        None => data
            .into_iter()
            .map(|(key, bytes)| (below_root(&key), bytes))
            .collect(),
        Some(items) => items
            .iter()
            .filter_map(|item| Some((below_root(&item.path), data.get(&item.key)?.clone())))
            .collect(),
    }
}

/// The path without the parts, such as `..`, that could lead out of the folder to which it is appended.
fn below_root(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        assert_eq!(below_root("/var/lib/plexd"), Path::new("var/lib/plexd"));
        assert_eq!(below_root("../../etc/./x"), Path::new("etc/x"));
    }
}
