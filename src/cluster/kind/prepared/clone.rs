//! Creates clones: containers like those that kind created for the template, from the template's images.
//!
//! kind supports restarting a node with a new address: the node's entrypoint replaces the old address. Starting a clone
//! is such a restart.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};
use futures::future::join_all;

use super::template::{self, Template};
use crate::cluster::kind::access::API_SERVER;
use crate::cluster::kind::nodes::CLUSTER_LABEL;
use crate::cluster::kind::work::Work;
use crate::event::{Failure, Symptom};

/// Where a clone's volume is mounted before the script mounts it at `/var`.
const VOLUME: &str = "/kind/var";

/// The script that a clone runs before the node's entrypoint. The script gets the entrypoint as its arguments.
///
/// By default, the engine fills a node's volume with a copy of everything that the image has in `/var`. Almost all of
/// it is container images, which only have to be readable, and files of the package manager. So a clone links to these
/// files, and copies only the rest.
///
/// systemd starts the kubelet together with containerd. If containerd isn't ready yet, the kubelet exits, and by
/// default systemd restarts it only after a second. So the script starts the kubelet after containerd, and shortens the
/// delay.
///
/// With cgroup v1, systemd removes cgroups without members from the hierarchy for devices, even while the kubelet is
/// creating the first pods in them. If a pod fails because of that, the kubelet retries only after ten seconds. So each
/// of these cgroups gets a member.
///
/// The controller manager and the scheduler have nothing to do until the API server listens, but would compete with it
/// for processors. So the kubelet finds their manifests only then.
const ENTRY: &str = r#"set -e
if [ -d /kind/var ]; then
  mkdir -p /kind/image-var
  mount --bind /var /kind/image-var
  cd /kind/image-var
  tar --create --exclude='./cache/*' --exclude='./lib/dpkg/*' \
    --exclude='./lib/containerd/*/snapshots/*' --exclude='./lib/containerd/*/blobs/sha256/*' . | tar --extract --directory=/kind/var
  for folder in cache lib/dpkg lib/containerd/*/snapshots lib/containerd/*/blobs/sha256; do
    for part in "$folder"/*; do
      [ ! -e "$part" ] || { ln -s -t "/kind/var/$folder" "/kind/image-var/$folder"/*; break; }
    done
  done
  cd /
  mount --bind /kind/var /var
fi
cd /etc/systemd/system
mkdir -p kubelet.service.d
printf '[Unit]\nAfter=containerd.service\n[Service]\nRestartSec=100ms\n' > kubelet.service.d/20-clone.conf
for class in besteffort burstable; do
  unit="devices-of-$class.service"
  printf '[Unit]\nBefore=kubelet.service\n[Service]\nSlice=kubelet-kubepods-%s.slice\nDevicePolicy=closed\nExecStart=sleep infinity\n' "$class" > "$unit"
  ln -sf -t multi-user.target.wants "../$unit"
done
cd /etc/kubernetes/manifests
if [ -e kube-apiserver.yaml ]; then
  mkdir -p /kind/late-manifests
  for pod in kube-controller-manager kube-scheduler; do
    [ ! -e "$pod.yaml" ] || mv "$pod.yaml" /kind/late-manifests
  done
  printf '[Service]\nExecStart=bash -c "until : </dev/tcp/localhost/6443; do sleep 0.1; done; mv /kind/late-manifests/* %s"\nStandardError=null\n' \
    "$PWD" > /etc/systemd/system/late-manifests.service
  ln -sf -t /etc/systemd/system/multi-user.target.wants ../late-manifests.service
fi
cd /
exec "$@""#;

/// Creates and starts the containers of a clone of `template`.
pub(in crate::cluster::kind) async fn clone(
    work: &Work,
    template: &Template,
) -> Result<(), Failure> {
    template.touch(&work.shared.options.state);
    let docker = work.shared.docker().await?;
    let nodes = template.frozen.iter().zip(&work.containers).enumerate();
    let mut nodes = nodes.map(|(number, (frozen, container))| {
        let image = template::image(&template.id, number);
        let body = body(work, frozen.container.clone(), image);
        (container.as_str(), body)
    });
    let Some((control_plane, body)) = nodes.next() else {
        return Ok(());
    };
    let address = start(docker, control_plane, body).await?;
    // Workers find the control plane by its name in Kubernetes. The engine can't resolve that name, so each worker gets
    // the address.
    let known = format!("{}:{address}", template.frozen[0].name);
    let starting = nodes.map(|(container, mut body)| {
        let host = body.host_config.get_or_insert_default();
        let hosts = host.extra_hosts.get_or_insert_default();
        hosts.push(known.clone());
        start(docker, container, body)
    });
    // Wait for all of them even if one fails, because the engine can't cancel the creation of a container.
    let started = join_all(starting).await;
    started.into_iter().try_for_each(|node| node.map(drop))
}

/// The request to create a node's container in this cluster, with the cluster's own label, seal and port.
fn body(work: &Work, mut body: ContainerCreateBody, image: String) -> ContainerCreateBody {
    body.image = Some(image);
    let labels = body.labels.get_or_insert_default();
    labels.insert(CLUSTER_LABEL.to_owned(), work.plan.cluster.to_string());
    let host = body.host_config.get_or_insert_default();
    host.binds.get_or_insert_default().push(work.sealed_mount());
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
    let entrypoint = body.entrypoint.take().into_iter().chain(body.cmd.take());
    body.cmd = Some(entrypoint.flatten().collect());
    body.entrypoint = Some(["bash", "-c", ENTRY, "bash"].map(str::to_owned).to_vec());
    let ports = host.port_bindings.as_mut();
    let bindings = ports.and_then(|ports| ports.get_mut(API_SERVER)?.as_mut());
    for binding in bindings.into_iter().flatten() {
        // Let the engine choose a port.
        binding.host_port = None;
    }
    body
}

/// Creates and starts a container. Returns its address.
async fn start(docker: &Docker, name: &str, body: ContainerCreateBody) -> Result<String, Failure> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let id = docker.create_container(Some(options), body).await?.id;
    let starting = docker.start_container(&id, None::<StartContainerOptions>);
    starting.await?;
    let inspecting = docker.inspect_container(&id, None::<InspectContainerOptions>);
    let inspected = inspecting.await?;
    let networks = inspected.network_settings.and_then(|it| it.networks);
    let address = all_addresses(networks).into_iter().next();
    address.ok_or_else(|| {
        let message = format!("the container of node {name} has no address");
        Failure::new(Symptom::ClusterNotUp, message)
    })
}

/// The addresses of a container in its networks, IPv4 first.
pub(super) fn all_addresses(networks: Option<HashMap<String, EndpointSettings>>) -> Vec<String> {
    let networks = networks.into_iter().flat_map(HashMap::into_values);
    let addresses = networks.flat_map(|network| [network.ip_address, network.global_ipv6_address]);
    let addresses = addresses.flatten();
    addresses.filter(|address| !address.is_empty()).collect()
}
