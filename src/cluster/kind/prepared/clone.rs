//! Clones: containers like those that kind created for the template, from the template's images.
//!
//! kind supports that a node is restarted with another address: the node's entrypoint replaces the old one. A clone
//! is such a restart.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, Mount, MountType, MountVolumeOptions, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::Origin;
use super::freeze::TEMPLATE;
use super::template::{self, Template};
use super::verify;
use crate::cluster::NodeName;
use crate::cluster::kind::claim::Live;
use crate::cluster::kind::create::Files;
use crate::cluster::kind::destroy::{self, engine_failed};
use crate::cluster::kind::nodes::{CLUSTER_LABEL, containers};
use crate::cluster::kind::work::Work;
use crate::cluster::kind::{access, load};
use crate::cluster::kubernetes::{Access, unusable};
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{LiveClaims, replace_private};

/// How long a clone may take until it is verified. On an idle machine, it takes a sixth of this.
pub(super) const VERIFIED: Duration = Duration::from_secs(45);

/// The port of the API server in a node.
const API_SERVER: &str = "6443/tcp";

/// Where a clone's volume is mounted, and where the content of its image for `/var` is visible.
const VOLUME: &str = "/kind/var";

/// What a clone does before its entrypoint, which is in the arguments.
///
/// The volume of a node usually gets a copy of everything that the image has in `/var`. Almost all of it are images that
/// only have to be readable, so a clone links to those, and copies the rest.
///
/// The kubelet looks for the pod network when it starts, and then only every five seconds, so it is started again when
/// the network is there.
const ENTRY: &str = r#"set -e
if [ -d /kind/var ]; then
  mkdir -p /kind/image-var
  mount --bind /var /kind/image-var
  cd /kind/image-var
  tar --create --exclude='./lib/containerd/*/snapshots/*' --exclude='./lib/containerd/*/blobs/sha256/*' . | tar --extract --directory=/kind/var
  for folder in lib/containerd/*/snapshots lib/containerd/*/blobs/sha256; do
    for part in "$folder"/*; do
      [ ! -e "$part" ] || { ln -s -t "/kind/var/$folder" "/kind/image-var/$folder"/*; break; }
    done
  done
  cd /
  mount --bind /kind/var /var
fi
(
  until ls /etc/cni/net.d/*.conf* >/dev/null 2>&1; do sleep 0.1; done
  systemctl restart kubelet
) &
exec "$@""#;

/// Starts the clone and verifies it. After a failure, [`remove`] has to be called.
pub(super) async fn start(
    work: &Work,
    template: &Arc<Template>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let docker = work.shared.docker().await?;
    template.touch(&work.shared.options.state);
    note(work, template)?;
    // Never dropped, because a container that the engine is creating can't be cancelled.
    let creating = work.steps.measure("clone", create(work, docker, template));
    let addresses = creating.await?;
    let deadline = work.plan.clock.deadline(VERIFIED);
    let verifying = async {
        tokio::try_join!(
            Box::pin(verified(work, template, &addresses)),
            Box::pin(load::first(work)),
        )
    };
    let verifying = work.steps.measure("clone verified", verifying);
    let interrupted = || {
        let message = "the start of the prepared cluster was interrupted";
        Failure::new(Symptom::ClusterNotUp, message)
    };
    let verified = stop.run_until_cancelled(deadline.run(verifying)).await;
    let verified = verified.ok_or_else(interrupted)?;
    let (access, loaded) = verified.map_err(|timed_out| {
        let message = format!("it {timed_out} before its nodes and its DNS were ready");
        Failure::new(Symptom::ClusterNotUp, message)
    })??;
    let (before, images) = loaded;
    // First, because it contains the names of the nodes, which all who use the milestones need.
    work.set_origin(Origin::Prepared(Arc::clone(template)));
    work.before.set(Ok(before));
    work.loaded.set(Ok(images));
    work.access.set(Ok(access));
    work.begun.set(Ok(Timestamp::now()));
    for milestone in work.running.values() {
        milestone.set(Ok(()));
    }
    Ok(())
}

/// Says in the file with kind's output why there is none.
fn note(work: &Work, template: &Template) -> Result<(), Failure> {
    let path = Files::of(work).output();
    let id = &template.id;
    let text = format!("kind did not create this cluster: it is a clone of the template {id}\n");
    fs::write(&path, text).map_err(|error| unwritable(&path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("failed to write to {}: {}", path.display(), chain(error));
    Failure::new(Symptom::FilesystemFailed, message)
}

/// Removes what [`start`] has created.
pub(super) async fn remove(work: &Work, docker: &Docker) -> Result<(), Failure> {
    let Some(claim) = work.claim() else {
        return Ok(());
    };
    let live = LiveClaims::beside(&work.shared.options.state, work.plan.ledger.run());
    let live = Live::read(&live)?;
    let removing = destroy::remove_containers(docker, &claim, &live);
    work.steps
        .measure("clone removed", removing)
        .await
        .map(drop)
}

/// Creates and starts the containers. Returns the nodes' addresses, by the nodes' names.
async fn create(
    work: &Work,
    docker: &Docker,
    template: &Template,
) -> Result<BTreeMap<NodeName, String>, Failure> {
    let mut addresses = BTreeMap::new();
    let nodes = template.frozen.iter().zip(&work.containers).enumerate();
    let mut workers = Vec::new();
    for (number, (frozen, container)) in nodes {
        let image = template::image(&template.id, number);
        let body = body(work, frozen.container.clone(), image);
        let name = NodeName::new(frozen.name.as_str());
        if number == 0 {
            let address = start_one(docker, container, body).await?;
            addresses.insert(name, address);
        } else {
            workers.push((name, container, body));
        }
    }
    // Workers find the control plane by its name in Kubernetes, which the engine doesn't know.
    let hosts: Vec<_> = addresses
        .iter()
        .map(|(name, address)| format!("{name}:{address}"))
        .collect();
    let starting = workers.into_iter().map(|(name, container, mut body)| {
        let host = body.host_config.get_or_insert_default();
        host.extra_hosts
            .get_or_insert_default()
            .extend(hosts.clone());
        async move {
            let address = start_one(docker, container, body).await?;
            Ok::<_, Failure>((name, address))
        }
    });
    addresses.extend(try_join_all(starting).await?);
    let found = containers(docker, Some(work.plan.cluster.as_str())).await;
    work.know(&found.map_err(|error| engine_failed(&error))?)?;
    Ok(addresses)
}

/// The container of a node in this cluster: with its own label, seal and port.
fn body(work: &Work, mut body: ContainerCreateBody, image: String) -> ContainerCreateBody {
    body.image = Some(image);
    let labels = body.labels.get_or_insert_default();
    labels.insert(CLUSTER_LABEL.to_owned(), work.plan.cluster.to_string());
    let host = body.host_config.get_or_insert_default();
    host.binds.get_or_insert_default().push(work.sealed_mount());
    let is_free = |bind: &String| {
        !bind
            .split(':')
            .nth(1)
            .is_some_and(|it| it.starts_with("/var/"))
    };
    if host.binds.iter().flatten().all(is_free) {
        body.volumes = None;
        host.mounts = Some(vec![Mount {
            target: Some(VOLUME.to_owned()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        }]);
    }
    let entrypoint = body.entrypoint.take().into_iter().chain(body.cmd.take());
    body.cmd = Some(entrypoint.flatten().collect());
    body.entrypoint = Some(["bash", "-c", ENTRY, "bash"].map(str::to_owned).to_vec());
    if let Some(Some(Some(bindings))) = host
        .port_bindings
        .as_mut()
        .map(|ports| ports.get_mut(API_SERVER).map(Option::as_mut))
    {
        for PortBinding { host_port, .. } in bindings {
            // The engine chooses one.
            *host_port = None;
        }
    }
    body
}

/// Creates and starts a container. Returns its address.
async fn start_one(
    docker: &Docker,
    name: &NodeName,
    body: ContainerCreateBody,
) -> Result<String, Failure> {
    let engine = |error| engine_failed(&error);
    let options = CreateContainerOptionsBuilder::new()
        .name(name.as_str())
        .build();
    let created = docker.create_container(Some(options), body).await;
    let id = created.map_err(engine)?.id;
    let starting = docker.start_container(&id, None::<StartContainerOptions>);
    starting.await.map_err(engine)?;
    let inspecting = docker.inspect_container(&id, None::<InspectContainerOptions>);
    let inspected = inspecting.await.map_err(engine)?;
    let networks = inspected
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_else(HashMap::new);
    let address = networks
        .into_values()
        .filter_map(|network| network.ip_address)
        .find(|address| !address.is_empty());
    address.ok_or_else(|| {
        let message = format!("the container of node {name} has no address");
        Failure::new(Symptom::ClusterNotUp, message)
    })
}

/// Waits until the cluster is proven to be this clone of the template, and to be up. Writes its kubeconfig.
async fn verified(
    work: &Work,
    template: &Template,
    addresses: &BTreeMap<NodeName, String>,
) -> Result<Access, Failure> {
    let (access, kubeconfig) = access::connect(work).await?;
    let expected = template.frozen.first().map(|node| &node.server_version);
    if expected != Some(&access.server_version) {
        let message = format!("it runs Kubernetes {}", access.server_version);
        return Err(Failure::new(Symptom::ClusterDiffers, message));
    }
    let namespaces: Api<Namespace> = Api::all(access.client.clone());
    let system = namespaces.get("kube-system").await;
    let system = system.map_err(|error| unusable(&error))?;
    if system.annotations().get(TEMPLATE) != Some(&template.id) {
        let message = "it is not a clone of this template";
        return Err(Failure::new(Symptom::ClusterDiffers, message));
    }
    let dns = verify::up(work, &access, template, addresses).await?;
    verify::dns_answers(&access.client, &dns).await?;
    let files = Files::of(work);
    let text = access::for_users(kubeconfig, work.plan.cluster.as_str());
    let written = text.and_then(|text| {
        replace_private(&files.kubeconfig(), |file| file.write_all(text.as_bytes()))
    });
    written.map_err(|error| unwritable(&files.kubeconfig(), &error))?;
    Ok(access)
}
