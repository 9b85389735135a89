//! Which image a cell's nodes are made of: what the file names, else the newest local one of the version, else a published one.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::ListImagesOptionsBuilder;

use super::destroy::engine_failed;
use super::work::Work;
use crate::cluster::images;
use crate::event::{Failure, Symptom};
use crate::machine::Lock;
use crate::matrix::{Cell, KubernetesVersion};

const REPOSITORY: &str = "kindest/node";

/// Images that were published for kind, for machines that have none of a version.
const PUBLISHED: [(&str, &str); 1] = [(
    "1.37",
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
)];

/// A node image, and whether the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeImage {
    pub(super) name: String,
    pub(super) is_present: bool,
}

/// The image for `cell`'s nodes. Makes nothing.
pub(super) async fn resolve(docker: &Docker, cell: &Cell) -> Result<NodeImage, Failure> {
    if let Some(name) = &cell.node_image {
        return named(docker, name.clone()).await;
    }
    if let Some(name) = newest(cell.kubernetes, &local(docker).await?) {
        return Ok(NodeImage {
            name,
            is_present: true,
        });
    }
    let version = cell.kubernetes.to_string();
    let published = PUBLISHED.iter().find(|(of, _)| *of == version);
    match published {
        Some((_, name)) => named(docker, (*name).to_owned()).await,
        None => Err(missing(
            &format!("{REPOSITORY}:v{version}.*"),
            cell,
            "no published image of it is known",
        )),
    }
}

async fn named(docker: &Docker, name: String) -> Result<NodeImage, Failure> {
    match docker.inspect_image(&name).await {
        Ok(_) => Ok(NodeImage {
            name,
            is_present: true,
        }),
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(NodeImage {
            name,
            is_present: false,
        }),
        Err(error) => Err(engine_failed(&error)),
    }
}

/// Fails where the image is not there and the registry does not have it either. Pulls nothing.
pub(super) async fn check(docker: &Docker, cell: &Cell) -> Result<NodeImage, Failure> {
    let image = resolve(docker, cell).await?;
    if !image.is_present {
        let found = docker.inspect_registry_image(&image.name, None).await;
        found.map_err(|error| missing(&image.name, cell, &error.to_string()))?;
    }
    Ok(image)
}

/// The image, pulled where it is not there yet. However many ask at once, it is pulled once.
pub(super) async fn ensure(work: &Work, docker: &Docker) -> Result<String, Failure> {
    let cell = &work.plan.cell;
    let image = resolve(docker, cell).await?;
    if !image.is_present {
        let path = work
            .shared
            .options
            .state
            .locks()
            .join(format!("node-image-{}", cell.kubernetes));
        let lock = Lock::take(&path).await;
        let _lock =
            lock.map_err(|error| Failure::new(Symptom::FilesystemFailed, error.to_string()))?;
        if !resolve(docker, cell).await?.is_present {
            let pulling = images::pull(docker, &image.name, Symptom::NodeImageMissing);
            work.steps.measure("node image pull", pulling).await?;
        }
    }
    Ok(image.name)
}

async fn local(docker: &Docker) -> Result<Vec<String>, Failure> {
    let filters = HashMap::from([("reference", vec![REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = docker.list_images(Some(options)).await;
    let images = images.map_err(|error| engine_failed(&error))?;
    Ok(images
        .into_iter()
        .flat_map(|image| image.repo_tags)
        .collect())
}

/// The newest of `names` that is an image of `version`.
fn newest(version: KubernetesVersion, names: &[String]) -> Option<String> {
    let start = format!("{REPOSITORY}:v{version}.");
    let patch = |name: &&String| -> Option<u32> { name.strip_prefix(&start)?.parse().ok() };
    names
        .iter()
        .filter(|name| patch(name).is_some())
        .max_by_key(patch)
        .cloned()
}

fn missing(name: &str, cell: &Cell, why: &str) -> Failure {
    let version = cell.kubernetes;
    Failure::new(
        Symptom::NodeImageMissing,
        format!("node image {name} for Kubernetes {version} is not there and can't be pulled: {why}"),
    )
    .with_remedy(format!(
        "pull or load an image called {REPOSITORY}:v{version}.<patch>, or name one in the matrix file: [kubernetes.\"{version}\"] image = \"…\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_local_image_of_the_version_is_taken() {
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
