//! Stores frozen nodes as images: the files that a node has changed since its start, on top of the node image.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerConfig, ContainerCreateBody, ContainerInspectResponse, HostConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::{StreamExt, future::try_join_all};

use super::template::{self, FrozenNode, Template};
use crate::cluster::NodeName;
use crate::cluster::kind::claim::SEALS;
use crate::cluster::kind::nodes::CLUSTER_LABEL;
use crate::cluster::kind::tuning::PATCHES;
use crate::cluster::kind::work::Work;
use crate::deadline::milliseconds;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// Writes an archive of the files that have changed since the time `$1`: the configuration and keys of Kubernetes, the
/// cluster's database and the images. Leaves out files of running pods, and files that a node creates at each start.
const PACK: &str = r#"cd / && find $(ls -d etc/kubernetes kind var/lib/kubelet var/lib/etcd var/lib/containerd 2>/dev/null) -xdev -newerct "$1" ! -type s \
  ! -path 'kind/product_*' ! -path 'kind/fake-*' \
  ! -path 'var/lib/kubelet/pods/*' ! -path 'var/lib/kubelet/*_state' ! -path 'var/lib/kubelet/checkpoints/*' \
  ! -path 'var/lib/kubelet/device-plugins/*' ! -path 'var/lib/kubelet/plugins*/*' ! -path 'var/lib/kubelet/pod-resources/*' \
  ! -path 'var/lib/etcd/member/wal/*.tmp' \
  ! -path 'var/lib/containerd/io.containerd.grpc.*' ! -path 'var/lib/containerd/io.containerd.runtime.*' \
  ! -path 'var/lib/containerd/io.containerd.sandbox.*' ! -path 'var/lib/containerd/tmpmounts/*' -print0 \
  | tar --create --format=posix --xattrs --xattrs-include='*' --no-recursion --null --files-from=-"#;

/// Creates the images of all nodes of a cluster. `revision` is the resource version of the cluster's last change, and
/// `creation_time` is how long creating the cluster took.
pub(super) async fn commit(
    work: &Work,
    image: &str,
    id: &str,
    revision: u64,
    creation_time: Duration,
) -> Result<Template, Failure> {
    let server_version = work.access.reached().await?.server_version;
    let committing = work.containers.iter().enumerate().map(|(number, node)| {
        let frozen = FrozenNode {
            name: node.clone(),
            of: work.containers.len(),
            revision,
            server_version: server_version.clone(),
            creation_ms: milliseconds(creation_time),
            container: ContainerCreateBody::default(),
        };
        commit_node(work, node, image, id, number, frozen)
    });
    Ok(Template {
        id: id.to_owned(),
        frozen: try_join_all(committing).await?,
    })
}

/// Creates the image of a node. Returns the facts about the node, including its container.
async fn commit_node(
    work: &Work,
    node: &NodeName,
    image: &str,
    id: &str,
    number: usize,
    mut frozen: FrozenNode,
) -> Result<FrozenNode, Failure> {
    let docker = work.shared.docker().await?;
    let inspecting = docker.inspect_container(node.as_str(), None::<InspectContainerOptions>);
    let mut inspected = inspecting.await?;
    let started = inspected.state.take().and_then(|state| state.started_at);
    let started = started.ok_or_else(|| failed(node, "its container was never started"))?;
    frozen.container = recipe(inspected);
    let labels = template::labels(id, &frozen);
    let mut labels = labels.map_err(|error| failed(node, &chain(&error)))?;
    // Like the nodes, the helper container belongs to the cluster, and is deleted with it.
    labels.insert(CLUSTER_LABEL.to_owned(), work.plan.cluster.to_string());
    let helper = format!("{node}-image");
    let options = CreateContainerOptionsBuilder::new().name(&helper).build();
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            binds: Some(vec![work.sealed_mount()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    // The name could belong to another container later, but the id can't.
    let helper = docker.create_container(Some(options), body).await?.id;
    let size = pack(docker, node, &started, &helper).await?;
    let options = CommitContainerOptionsBuilder::new()
        .container(&helper)
        .repo(template::REPOSITORY)
        .tag(&template::tag(id, number))
        .changes(&format!("LABEL {}={size}", template::SIZE))
        .build();
    let committing = docker.commit_container(options, ContainerConfig::default());
    committing.await?;
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&helper, Some(options)).await?;
    Ok(frozen)
}

/// Streams the files that the node has changed since the time `started` into the container `helper`. Returns the size
/// of the archive in bytes.
async fn pack(
    docker: &Docker,
    node: &NodeName,
    started: &str,
    helper: &str,
) -> Result<usize, Failure> {
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        cmd: Some(vec!["bash", "-o", "pipefail", "-c", PACK, "bash", started]),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(node.as_str(), options).await?.id;
    let StartExecResults::Attached { output, .. } = docker.start_exec(&exec, None).await? else {
        return Err(failed(node, "its archive can't be read"));
    };
    let size = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&size);
    let archive = output.filter_map(move |part| {
        let part = match part {
            Ok(LogOutput::StdOut { message }) => {
                counted.fetch_add(message.len(), Ordering::Relaxed);
                Some(Ok(message))
            }
            Ok(_) => None,
            Err(error) => Some(Err(std::io::Error::other(error))),
        };
        std::future::ready(part)
    });
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let body = bollard::body_try_stream(archive);
    let uploading = docker.upload_to_container(helper, Some(options), body);
    uploading.await?;
    match docker.inspect_exec(&exec).await?.exit_code {
        Some(0) => Ok(size.load(Ordering::Relaxed)),
        code => {
            let why = format!("its archive is incomplete (exit code {code:?})");
            Err(failed(node, &why))
        }
    }
}

fn failed(node: &NodeName, why: &str) -> Failure {
    let message = format!("failed to freeze node {node}: {why}");
    Failure::new(Symptom::ClusterNotUp, message)
}

/// The request to create a container like this one, without its network and without the run's own mounts.
fn recipe(inspected: ContainerInspectResponse) -> ContainerCreateBody {
    let config = inspected.config.unwrap_or_default();
    let mut host = inspected.host_config.unwrap_or_default();
    let binds = host.binds.get_or_insert_default();
    binds.retain(|bind| {
        let destination = bind.split(':').nth(1).unwrap_or_default();
        destination != PATCHES && !destination.starts_with(SEALS)
    });
    ContainerCreateBody {
        hostname: config.hostname,
        env: config.env,
        labels: config.labels,
        exposed_ports: config.exposed_ports,
        volumes: config.volumes,
        tty: config.tty,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, HostConfig};

    use super::*;

    #[test]
    fn a_recipe_contains_no_mount_of_the_run_that_froze_the_node() {
        let text = |text: &str| Some(text.to_owned());
        let binds = ["/lib/modules:/lib/modules:ro", "/own:/data"];
        let of_run = [
            format!("/run/seal:{SEALS}/0123:ro"),
            format!("/run/patches:{PATCHES}:ro"),
        ];
        let inspected = ContainerInspectResponse {
            config: Some(ContainerConfig {
                hostname: text("node"),
                image: text("kindest/node"),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                binds: Some(binds.map(str::to_owned).into_iter().chain(of_run).collect()),
                privileged: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let recipe = recipe(inspected);
        let host = recipe.host_config.unwrap();
        assert_eq!(host.binds.unwrap(), binds);
        assert_eq!(host.privileged, Some(true));
        assert_eq!((recipe.hostname, recipe.image), (text("node"), None));
    }
}
