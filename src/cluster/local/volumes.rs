//! A pod's volumes as folders: the host's outlive the pod, everything else is made anew for each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};
use serde_json::Value;

use super::contents::{Contents, Keys, Kind};
use super::environment::{self, PodFacts};
use super::failure;
use super::mapping::Mapping;
use crate::event::Failure;
use crate::machine::private_folder;

/// A folder to make before the container starts, with its files.
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, Content>,
    sub_folders: Vec<PathBuf>,
}

/// What a file of a volume holds.
enum Content {
    /// Left as it is.
    Verbatim(Vec<u8>),
    /// Its paths and addresses are translated, where it is a configuration.
    Configuration(Vec<u8>),
}

/// The folders of a pod's volumes, by name; `host` stands for the node's root, `pod` is the pod's own.
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
        };
        Ok((volume.name.clone(), folder))
    });
    planned.collect()
}

/// Makes the mounts of `container` mean their volumes' folders.
pub(super) fn mount(
    container: &Container,
    folders: &mut BTreeMap<String, Folder>,
    mapping: &mut Mapping,
) {
    for mount in container.volume_mounts.iter().flatten() {
        let Some(folder) = folders.get_mut(&mount.name) else {
            continue;
        };
        let Some(sub_path) = &mount.sub_path else {
            mapping.mount(&mount.mount_path, folder.path.clone());
            continue;
        };
        let path = folder.path.join(below_root(Path::new(sub_path)));
        mapping.mount(&mount.mount_path, path.clone());
        // Of a volume with files, it may be one of them.
        if folder.files.is_empty() {
            folder.sub_folders.push(path);
        }
    }
}

/// Makes the folders and writes their files.
pub(super) fn write<'f>(
    folders: impl IntoIterator<Item = &'f Folder>,
    mapping: &Mapping,
) -> io::Result<()> {
    for folder in folders {
        private_folder(&folder.path)?;
        for path in &folder.sub_folders {
            private_folder(path)?;
        }
        for (name, content) in &folder.files {
            let path = folder.path.join(name);
            if let Some(parent) = path.parent() {
                private_folder(parent)?;
            }
            write_private(&path, &content.bytes(mapping))?;
        }
    }
    Ok(())
}

impl Content {
    fn bytes(&self, mapping: &Mapping) -> Vec<u8> {
        match self {
            Self::Verbatim(bytes) => bytes.clone(),
            Self::Configuration(bytes) => {
                translated(bytes, mapping).unwrap_or_else(|| bytes.clone())
            }
        }
    }
}

/// A configuration with its texts translated; none where it is no table of YAML or JSON.
fn translated(bytes: &[u8], mapping: &Mapping) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut value: Value = serde_saphyr::from_str(text).ok()?;
    value.as_object()?;
    mapping.value(&mut value);
    serde_saphyr::to_string(&value).ok().map(String::into_bytes)
}

fn files_of(
    volume: &Volume,
    facts: &PodFacts,
    contents: &Contents,
) -> Result<BTreeMap<PathBuf, Content>, Failure> {
    let mut files = BTreeMap::new();
    if let Some(from) = &volume.secret {
        let name = from.secret_name.as_deref().unwrap_or_default();
        let keys = environment::optional_keys(contents, Kind::Secret, name, from.optional)?;
        files.extend(chosen(keys, from.items.as_deref(), Content::Verbatim));
    } else if let Some(from) = &volume.config_map {
        let keys =
            environment::optional_keys(contents, Kind::ConfigMap, &from.name, from.optional)?;
        files.extend(chosen(keys, from.items.as_deref(), Content::Configuration));
    } else if let Some(from) = &volume.projected {
        for source in from.sources.iter().flatten() {
            if let Some(from) = &source.secret {
                let keys =
                    environment::optional_keys(contents, Kind::Secret, &from.name, from.optional)?;
                files.extend(chosen(keys, from.items.as_deref(), Content::Verbatim));
            }
            if let Some(from) = &source.config_map {
                let keys = environment::optional_keys(
                    contents,
                    Kind::ConfigMap,
                    &from.name,
                    from.optional,
                )?;
                files.extend(chosen(keys, from.items.as_deref(), Content::Configuration));
            }
        }
    } else if let Some(from) = &volume.downward_api {
        for item in from.items.iter().flatten() {
            if let Some(field) = &item.field_ref {
                let value = environment::field_of(field, facts)?;
                let content = Content::Verbatim(value.into_bytes());
                files.insert(below_root(Path::new(&item.path)), content);
            }
        }
    } else if volume.host_path.is_none() && volume.empty_dir.is_none() {
        let what = format!("the local provider has no such volume as `{}`", volume.name);
        return Err(failure::container(what));
    }
    Ok(files)
}

/// All keys as files of their names, or those that `items` chooses.
fn chosen(
    keys: Option<&Keys>,
    items: Option<&[KeyToPath]>,
    content: impl Fn(Vec<u8>) -> Content,
) -> Vec<(PathBuf, Content)> {
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
        .map(|(path, bytes)| (below_root(path), content(bytes.clone())))
        .collect()
}

/// The path without anything that could lead out of the folder it is joined to.
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

    #[test]
    fn a_configuration_is_translated_and_anything_else_is_not() {
        let mut mapping = Mapping::default();
        mapping.mount("/var/lib/plexd", "/node/plexd".into());
        let bytes = translated(b"a: {b: /var/lib/plexd/x, c: 1}", &mapping).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "a:\n  b: /node/plexd/x\n  c: 1\n"
        );
        assert_eq!(translated(b"/var/lib/plexd", &mapping), None);
        assert_eq!(translated(b"[/var/lib/plexd", &mapping), None);
    }
}
