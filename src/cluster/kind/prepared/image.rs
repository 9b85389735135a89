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
use crate::cluster::kind::destroy::engine_failed;
use crate::cluster::kind::nodes::CLUSTER_LABEL;
use crate::cluster::kind::tuning::PATCHES;
use crate::cluster::kind::work::Work;
use crate::deadline::milliseconds;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// Writes an archive of the files that have changed since the time `$1`: the configuration and keys of Kubernetes, the
/// cluster's database and the images. Files of running pods are left out, and so are those that a node creates at each
/// start.
const PACK: &str = r#"cd / && find $(ls -d etc/kubernetes kind var/lib/kubelet var/lib/etcd var/lib/containerd 2>/dev/null) -xdev -newerct "$1" ! -type s \
  ! -path 'kind/product_*' ! -path 'kind/fake-*' \
  ! -path 'var/lib/kubelet/pods/*' ! -path 'var/lib/kubelet/*_state' ! -path 'var/lib/kubelet/checkpoints/*' \
  ! -path 'var/lib/kubelet/device-plugins/*' ! -path 'var/lib/kubelet/plugins*/*' ! -path 'var/lib/kubelet/pod-resources/*' \
  ! -path 'var/lib/etcd/member/wal/*.tmp' \
  ! -path 'var/lib/containerd/io.containerd.grpc.*' ! -path 'var/lib/containerd/io.containerd.runtime.*' \
  ! -path 'var/lib/containerd/io.containerd.sandbox.*' ! -path 'var/lib/containerd/tmpmounts/*' -print0 \
  | tar --create --format=posix --xattrs --xattrs-include='*' --no-recursion --null --files-from=-"#;

/// The facts about a frozen cluster.
pub(super) struct Facts {
    /// The resource version of its last change.
    pub(super) revision: u64,
    /// The version that its API server reported.
    pub(super) server_version: String,
    /// How long creating it took.
    pub(super) creation_time: Duration,
}

/// Creates the images of all nodes.
pub(super) async fn commit(
    work: &Work,
    image: &str,
    id: &str,
    facts: &Facts,
) -> Result<Template, Failure> {
    let docker = work.shared.docker().await?;
    let committing = work.containers.iter().enumerate().map(|(number, node)| {
        let freezing = NodeToFreeze {
            work,
            docker,
            node,
            name: template::image(id, number),
        };
        freezing.commit(image, id, facts)
    });
    let frozen = try_join_all(committing).await?;
    Ok(Template {
        id: id.to_owned(),
        frozen,
    })
}

struct NodeToFreeze<'w> {
    work: &'w Work,
    docker: &'w Docker,
    node: &'w NodeName,
    /// The name of its image.
    name: String,
}

impl NodeToFreeze<'_> {
    async fn commit(self, image: &str, id: &str, facts: &Facts) -> Result<FrozenNode, Failure> {
        let inspecting = self
            .docker
            .inspect_container(self.node.as_str(), None::<InspectContainerOptions>);
        let inspected = inspecting.await.map_err(engine_failed)?;
        let started = inspected.state.as_ref();
        let started = started.and_then(|state| state.started_at.clone());
        let started = started.ok_or_else(|| self.failed("its container was never started"))?;
        let frozen = FrozenNode {
            name: self.node.to_string(),
            of: self.work.containers.len(),
            revision: facts.revision,
            server_version: facts.server_version.clone(),
            creation_ms: milliseconds(facts.creation_time),
            container: recipe(inspected),
        };
        let labels = template::labels(id, &frozen);
        let mut labels = labels.map_err(|error| self.failed(&chain(&error)))?;
        // The container belongs to the cluster, like the nodes, and is deleted with them.
        labels.insert(CLUSTER_LABEL.to_owned(), self.work.plan.cluster.to_string());
        let helper = format!("{}-image", self.node);
        let options = CreateContainerOptionsBuilder::new().name(&helper).build();
        let seal = self.work.sealed_mount();
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some(labels),
            host_config: Some(HostConfig {
                binds: Some(vec![seal]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(engine_failed)?;
        let size = self.pack(&started, &helper).await?;
        let (repository, tag) = self.name.split_once(':').unwrap_or((&self.name, "latest"));
        let options = CommitContainerOptionsBuilder::new()
            .container(&helper)
            .repo(repository)
            .tag(tag)
            .changes(&format!("LABEL {}={size}", template::SIZE))
            .build();
        let committed = self
            .docker
            .commit_container(options, ContainerConfig::default())
            .await;
        committed.map_err(engine_failed)?;
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let removed = self.docker.remove_container(&helper, Some(options)).await;
        removed.map_err(engine_failed)?;
        Ok(frozen)
    }

    /// Streams the files that the node has changed into the container `helper`. Returns the size of the archive in
    /// bytes.
    async fn pack(&self, started: &str, helper: &str) -> Result<usize, Failure> {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            cmd: Some(vec!["bash", "-o", "pipefail", "-c", PACK, "bash", started]),
            ..CreateExecOptions::default()
        };
        let created = self.docker.create_exec(self.node.as_str(), options).await;
        let exec = created.map_err(engine_failed)?.id;
        let started = self
            .docker
            .start_exec(&exec, None)
            .await
            .map_err(engine_failed)?;
        let StartExecResults::Attached { output, .. } = started else {
            return Err(self.failed("its archive can't be read"));
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
        let uploaded = self
            .docker
            .upload_to_container(helper, Some(options), body)
            .await;
        uploaded.map_err(engine_failed)?;
        let ended = self
            .docker
            .inspect_exec(&exec)
            .await
            .map_err(engine_failed)?;
        match ended.exit_code {
            Some(0) => Ok(size.load(Ordering::Relaxed)),
            code => Err(self.failed(&format!("its archive is incomplete (exit code {code:?})"))),
        }
    }

    fn failed(&self, why: &str) -> Failure {
        let message = format!("failed to freeze node {}: {why}", self.node);
        Failure::new(Symptom::ClusterNotUp, message)
    }
}

/// The request to create a container like this one, as kind did: without its network, and without the run's own mounts.
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
