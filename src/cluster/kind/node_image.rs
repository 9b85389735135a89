//! The image of a cell's nodes: the image in the matrix file, or else the newest local image of the Kubernetes version,
//! or else a published image.

use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::ListImagesOptionsBuilder;

use super::work::Work;
use crate::cluster::images::{self, absent_is_none};
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::Lock;
use crate::matrix::{Cell, KubernetesVersion};

const REPOSITORY: &str = "kindest/node";

/// Images published for kind, used if there is no local image. They are from the release notes of kind v0.33.0 (1.34
/// and later), v0.30.0 (1.31 to 1.33) and v0.29.0 (1.30).
const PUBLISHED: [&str; 8] = [
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
    "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
    "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
    "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
    "kindest/node:v1.33.4@sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2",
    "kindest/node:v1.32.8@sha256:abd489f042d2b644e2d033f5c2d900bc707798d075e8186cb65e3f1367a9d5a1",
    "kindest/node:v1.31.12@sha256:0f5cc49c5e73c0c2bb6e2df56e7df189240d83cf94edfa30946482eb08ec57d2",
    "kindest/node:v1.30.13@sha256:397209b3d947d154f6641f2d0ce8d473732bd91c87d9575ade99049aa33cd648",
];

/// A node image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeImage {
    pub(super) name: String,
    /// Its id; `None` if the engine doesn't have it.
    pub(super) id: Option<String>,
}

/// The image for `cell`'s nodes. Doesn't pull it.
pub(super) async fn resolve(docker: &Docker, cell: &Cell) -> Result<NodeImage, Failure> {
    let name = if let Some(name) = &cell.node_image {
        name.clone()
    } else if let Some(name) = newest(cell.kubernetes, &local(docker).await?) {
        name
    } else {
        let start = start(cell.kubernetes);
        let published = PUBLISHED.into_iter().find(|name| name.starts_with(&start));
        let published = published.ok_or_else(|| {
            let why = "kind publishes no image for this version";
            missing(&format!("{start}*"), cell, why)
        })?;
        published.to_owned()
    };
    let inspected = absent_is_none(docker.inspect_image(&name).await)?;
    let id = inspected.map(|image| image.id.unwrap_or_default());
    Ok(NodeImage { name, id })
}

/// Fails if the image exists neither locally nor in the registry. Doesn't pull it.
pub(super) async fn check(docker: &Docker, cell: &Cell) -> Result<NodeImage, Failure> {
    let image = resolve(docker, cell).await?;
    if image.id.is_none() {
        let found = docker.inspect_registry_image(&image.name, None).await;
        found.map_err(|error| missing(&image.name, cell, &chain(&error)))?;
    }
    Ok(image)
}

/// Pulls the image if it doesn't exist locally. Concurrent calls pull it once.
pub(super) async fn ensure(work: &Work) -> Result<NodeImage, Failure> {
    let (docker, cell) = (work.shared.docker().await?, &work.plan.cell);
    let image = resolve(docker, cell).await?;
    if image.id.is_some() {
        return Ok(image);
    }
    let name = format!("node-image-{}", cell.kubernetes);
    let path = work.shared.options.state.lock(&name);
    let _lock = Lock::take(&path).await?;
    if resolve(docker, cell).await?.id.is_none() {
        let pulling = images::pull(docker, &image.name, Symptom::NodeImageMissing);
        work.steps.measure("node image pull", pulling).await?;
    }
    resolve(docker, cell).await
}

async fn local(docker: &Docker) -> Result<Vec<String>, Failure> {
    let filters = HashMap::from([("reference", vec![REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = docker.list_images(Some(options)).await?.into_iter();
    Ok(images.flat_map(|image| image.repo_tags).collect())
}

/// The start of the names of the images of `version`.
fn start(version: KubernetesVersion) -> String {
    format!("{REPOSITORY}:v{version}.")
}

/// The newest of `names` that is an image of `version`.
fn newest(version: KubernetesVersion, names: &[String]) -> Option<String> {
    let start = start(version);
    let patch = |name: &&String| -> Option<u32> { name.strip_prefix(&start)?.parse().ok() };
    let of_version = names.iter().filter(|name| patch(name).is_some());
    of_version.max_by_key(patch).cloned()
}

fn missing(name: &str, cell: &Cell, why: &str) -> Failure {
    let version = cell.kubernetes;
    let message = format!(
        "the node image {name} for Kubernetes {version} doesn't exist locally and can't be pulled: {why}"
    );
    Failure::new(Symptom::NodeImageMissing, message).with_remedy(format!(
        "pull or load an image called {REPOSITORY}:v{version}.<patch>, or set one in the matrix file: [kubernetes.\"{version}\"] image = \"…\"; to skip such cells, use --skip-missing-images"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_local_image_of_the_version_is_used() {
        let names = [
            "v1.30.9",
            "v1.30.14",
            "v1.3.99",
            "v1.31.0",
            "latest",
            "v1.30.15-rc",
        ]
        .map(|tag| format!("{REPOSITORY}:{tag}"));
        let version = "1.30".parse().unwrap();
        assert_eq!(
            newest(version, &names),
            Some(format!("{REPOSITORY}:v1.30.14"))
        );
        assert_eq!(newest("1.29".parse().unwrap(), &names), None);
    }
}
