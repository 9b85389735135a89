//! A pod's volumes as folders: host paths outlive the pod, all others are created per pod.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, KeyToPath, PodSpec, SecretProjection,
    Volume, VolumeProjection,
};

use super::contents::{Contents, Data, Kind};
use super::environment::PodFacts;
use super::failure;
use crate::event::Failure;
use crate::machine::private_folder;
use crate::machine::sandbox::Mount;

/// The contents of files by their paths below a volume's folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The folder of a volume, created before the container starts.
pub(super) struct Folder {
    path: PathBuf,
    files: Files,
    sub_folders: Vec<PathBuf>,
    /// Whether the volume's source provides the content, so that the container must not change it.
    read_only: bool,
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
            Some(from) => host.join(below_root(&from.path)),
            None => pod.join("volumes").join(below_root(&volume.name)),
        };
        let files = files_of(volume, facts, contents)?;
        let folder = Folder {
            path,
            files,
            sub_folders: Vec::new(),
            read_only: volume.host_path.is_none() && volume.empty_dir.is_none(),
        };
        Ok((volume.name.clone(), folder))
    });
    planned.collect()
}

/// The mounts of `container`. The source of each is its volume's folder or a path below it.
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

fn files_of(volume: &Volume, facts: &PodFacts, contents: &Contents) -> Result<Files, Failure> {
    let keys = |kind, name: &str, optional, items: &Option<Vec<KeyToPath>>| {
        let data = contents.get(kind, name, optional)?;
        Ok::<_, Failure>(data.map_or_else(Files::new, |data| selected(data, items.as_deref())))
    };
    let mut files = Files::new();
    for source in projections(volume)? {
        if let Some(from) = source.secret {
            files.extend(keys(Kind::Secret, &from.name, from.optional, &from.items)?);
        }
        if let Some(from) = source.config_map {
            let projected = keys(Kind::ConfigMap, &from.name, from.optional, &from.items);
            files.extend(projected?);
        }
        let items = source.downward_api.and_then(|from| from.items);
        for item in items.into_iter().flatten() {
            if let Some(field) = &item.field_ref {
                files.insert(below_root(&item.path), facts.field(field)?.into_bytes());
            }
        }
    }
    Ok(files)
}

/// The sources of a volume's files. A volume with a single source is like a projected volume with only that one.
fn projections(volume: &Volume) -> Result<Vec<VolumeProjection>, Failure> {
    let mut source = VolumeProjection::default();
    if let Some(projected) = &volume.projected {
        return Ok(projected.sources.clone().unwrap_or_default());
    } else if let Some(from) = volume.secret.clone() {
        source.secret = Some(SecretProjection {
            items: from.items,
            name: from.secret_name.unwrap_or_default(),
            optional: from.optional,
        });
    } else if let Some(from) = volume.config_map.clone() {
        source.config_map = Some(ConfigMapProjection {
            items: from.items,
            name: from.name,
            optional: from.optional,
        });
    } else if let Some(from) = volume.downward_api.clone() {
        source.downward_api = Some(DownwardAPIProjection { items: from.items });
    } else if volume.host_path.is_none() && volume.empty_dir.is_none() {
        return Err(failure::container(format_args!(
            "the local provider doesn't support the type of the volume `{}`",
            volume.name
        )));
    }
    Ok(vec![source])
}

/// The volumes with a projected source that only an API server can provide, such as a token of the ServiceAccount.
pub(super) fn incomplete(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    spec.volumes.iter().flatten().filter(|volume| {
        let projected = volume.projected.as_ref();
        let mut sources = projected
            .and_then(|it| it.sources.as_ref())
            .into_iter()
            .flatten();
        sources.any(|source| {
            source.service_account_token.is_some()
                || source.cluster_trust_bundle.is_some()
                || source.pod_certificate.is_some()
        })
    })
}

/// All keys as files, or those that `items` selects.
fn selected(data: &Data, items: Option<&[KeyToPath]>) -> Files {
    let Some(items) = items else {
        let all = data.iter();
        return all
            .map(|(key, bytes)| (below_root(key), bytes.clone()))
            .collect();
    };
    items
        .iter()
        .filter_map(|item| Some((below_root(&item.path), data.get(&item.key)?.clone())))
        .collect()
}

/// The path without any parts that could lead out of the folder that it is joined to.
fn below_root(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
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
        assert_eq!(below_root("/var/lib/plexd"), Path::new("var/lib/plexd"));
        assert_eq!(below_root("../../etc/./x"), Path::new("etc/x"));
    }
}
