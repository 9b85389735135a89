//! Templates in the engine: one image per node, with the facts about the node in a label.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use serde::{Deserialize, Serialize};

use crate::cluster::NodeName;
use crate::cluster::images::{self, absent_is_none};
use crate::cluster::kind::stored_images;
use crate::error::chain;
use crate::event::Failure;
use crate::machine::{StateFolder, replace_private};

/// The repository of template images.
pub(super) const REPOSITORY: &str = "e2e-matrix/prepared";

/// The label with the template's id.
const ID: &str = "e2e-matrix.template";
/// The label with the facts about the node: a [`FrozenNode`] as JSON.
const NODE: &str = "e2e-matrix.template.node";

/// The label with the size in bytes of the files that the image adds to the node image.
pub(super) const SIZE: &str = "e2e-matrix.template.size";

/// The extension of the files in the cache that record when a template was used last.
pub const USED: &str = "template";

/// The disk space that all templates may use, in bytes. The least recently used templates are deleted first.
const BUDGET: u64 = 4 << 30;

/// The facts about a frozen node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FrozenNode {
    /// Its name in Kubernetes, which is also its host name.
    pub(super) name: NodeName,
    /// How many nodes the cluster has.
    pub(super) of: usize,
    /// The resource version of the cluster's last change: every change in a clone has a higher resource version.
    pub(super) revision: u64,
    /// The version that the API server reported.
    pub(super) server_version: String,
    /// How long kind took to create the cluster, in milliseconds.
    pub(super) creation_ms: u64,
    /// The request to create a container like the one that kind created, without its network and without the mounts of
    /// the run that froze it.
    pub(super) container: ContainerCreateBody,
}

/// A template.
#[derive(Clone, Debug)]
pub(in crate::cluster::kind) struct Template {
    /// The digest of what the cluster was created from.
    pub(in crate::cluster::kind) id: String,
    /// The nodes, control plane first. There is at least one.
    pub(super) frozen: Vec<FrozenNode>,
}

/// The tag of the image of the node with this number.
pub(super) fn tag(id: &str, number: usize) -> String {
    format!("{id}-{number}")
}

/// The name of the image of the node with this number.
pub(super) fn image(id: &str, number: usize) -> String {
    format!("{REPOSITORY}:{}", tag(id, number))
}

/// The labels of a template's image.
pub(super) fn labels(id: &str, node: &FrozenNode) -> serde_json::Result<HashMap<String, String>> {
    Ok(HashMap::from([
        (images::LABEL.to_owned(), "template".to_owned()),
        (ID.to_owned(), id.to_owned()),
        (NODE.to_owned(), serde_json::to_string(node)?),
    ]))
}

impl Template {
    /// The template `id`, if the engine has all of its images and this version can read them.
    pub(super) async fn find(docker: &Docker, id: &str) -> Result<Option<Self>, Failure> {
        let mut frozen: Vec<FrozenNode> = Vec::new();
        loop {
            let inspected = docker.inspect_image(&image(id, frozen.len())).await;
            let node = absent_is_none(inspected)?.and_then(|image| {
                let labels = image.config?.labels?;
                serde_json::from_str(labels.get(NODE)?).ok()
            });
            let Some::<FrozenNode>(node) = node else {
                return Ok(None);
            };
            let of = node.of;
            frozen.push(node);
            if frozen.len() >= of {
                let id = id.to_owned();
                return Ok(Some(Self { id, frozen }));
            }
        }
    }

    /// The names of the nodes in Kubernetes, control plane first.
    pub(in crate::cluster::kind) fn nodes(&self) -> Vec<NodeName> {
        self.frozen.iter().map(|node| node.name.clone()).collect()
    }

    /// How long kind took to create the template's cluster.
    pub(in crate::cluster::kind) fn creation(&self) -> Duration {
        Duration::from_millis(self.frozen[0].creation_ms)
    }

    /// Deletes the template's images. Existing clones keep working, and other names of the images stay valid.
    pub(super) async fn delete(&self, docker: &Docker) -> Result<(), Failure> {
        for number in 0..self.frozen.len() {
            stored_images::delete(docker, &image(&self.id, number), true).await?;
        }
        Ok(())
    }

    /// Records that the template is being used, for [`prune`].
    pub(super) fn touch(&self, state: &StateFolder) {
        let path = used(state, &self.id);
        if let Err(error) = replace_private(&path, |_| Ok(())) {
            let error = chain(&error);
            tracing::warn!(error, "failed to record the use of a template");
        }
    }
}

/// The file whose modification time is the last use of the template `id`.
fn used(state: &StateFolder, id: &str) -> PathBuf {
    state.cache().join(format!("{id}.{USED}"))
}

/// The disk space that each template in the engine uses, in bytes, by the template's id.
async fn templates(docker: &Docker) -> Result<BTreeMap<String, u64>, Failure> {
    let mut sizes = BTreeMap::new();
    for mut image in stored_images::with_label(docker, ID).await? {
        // Each image in the list has this label.
        let id = image.labels.remove(ID).unwrap_or_default();
        let size = image.labels.get(SIZE).and_then(|size| size.parse().ok());
        *sizes.entry(id).or_default() += size.unwrap_or(0);
    }
    Ok(sizes)
}

/// Deletes the least recently used templates that exceed the budget, but not `newest`.
pub(super) async fn prune(
    docker: &Docker,
    state: &StateFolder,
    newest: &str,
) -> Result<(), Failure> {
    let sizes = templates(docker).await?;
    let last_use = |id: &String| fs::metadata(used(state, id)).ok()?.modified().ok();
    let mut by_use: Vec<_> = sizes.keys().filter(|id| *id != newest).collect();
    by_use.sort_by_key(|id| last_use(id));
    for id in excess(by_use, &sizes, BUDGET) {
        tracing::info!(id, "deleting a template to free disk space");
        delete(docker, id).await?;
        drop(fs::remove_file(used(state, id)));
    }
    Ok(())
}

/// The templates at the start of `oldest_first` that have to be deleted to bring the total size down to `budget`.
fn excess<'i>(
    oldest_first: Vec<&'i String>,
    sizes: &BTreeMap<String, u64>,
    budget: u64,
) -> Vec<&'i String> {
    let mut total: u64 = sizes.values().sum();
    let mut excess = Vec::new();
    for id in oldest_first {
        if total <= budget {
            break;
        }
        total -= sizes.get(id).copied().unwrap_or_default();
        excess.push(id);
    }
    excess
}

/// Deletes all images of the template `id`, even if some are missing.
pub(super) async fn delete(docker: &Docker, id: &str) -> Result<(), Failure> {
    for image in stored_images::with_label(docker, &format!("{ID}={id}")).await? {
        for name in stored_images::names(image) {
            stored_images::delete(docker, &name, true).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_templates_exceed_the_budget() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let sizes: BTreeMap<_, _> = names.iter().cloned().zip([10, 20, 30]).collect();
        let oldest_first: Vec<_> = names.iter().collect();
        let excess = |budget| excess(oldest_first.clone(), &sizes, budget);
        assert_eq!(excess(60), [] as [&String; 0]);
        assert_eq!(excess(59), [&names[0]]);
        assert_eq!(excess(49), [&names[0], &names[1]]);
        assert_eq!(excess(0), [&names[0], &names[1], &names[2]]);
    }

    #[test]
    fn a_label_in_another_format_is_not_a_node() {
        let node = FrozenNode {
            name: NodeName::new("node"),
            of: 1,
            revision: 7,
            server_version: "v1.34.4".to_owned(),
            creation_ms: 1000,
            container: ContainerCreateBody::default(),
        };
        let labels = labels("id", &node).unwrap();
        let read = |text: &str| serde_json::from_str::<FrozenNode>(text);
        assert_eq!(read(&labels[NODE]).unwrap().revision, 7);
        assert!(read(&labels[NODE].replace("revision", "version")).is_err());
    }
}
