//! Access to the API server with the administrator's kubeconfig, which is read from the node as soon as kubeadm has
//! written it, and kept in memory.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::create::KUBECONFIG;
use super::destroy::filesystem_failed;
use super::nodes::read_file;
use super::prepared::Origin;
use super::tuning::admin_kubeconfig;
use super::work::Work;
use crate::cluster::kubernetes::{Access, api_unreachable, client};
use crate::cluster::retry::every;
use crate::event::Failure;
use crate::machine::replace_private;

/// The port of the API server in a node.
pub(super) const API_SERVER: &str = "6443/tcp";

/// How often to check for the file, which exists seconds before the API server responds. More checks would cost too
/// much, because each check costs the engine a process, and several clusters share the processors.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long to wait at most. Phases have shorter deadlines.
const LIMIT: Duration = Duration::from_secs(600);

/// Connects to the API server as soon as the control plane's container is running.
pub(super) async fn when_running(work: Arc<Work>) {
    work.access.set(connect(&work).await);
}

/// Waits until the API server can be used.
async fn connect(work: &Work) -> Result<Access, Failure> {
    work.running[work.control_plane()].reached().await?;
    let docker = work.shared.docker().await?;
    let attempts = every(INTERVAL, LIMIT);
    let reading = async { (|| kubeconfig(work, docker)).retry(attempts).await };
    let kubeconfig = work.steps.measure("kubeconfig written", reading).await?;
    let client = client(kubeconfig.clone(), &KubeConfigOptions::default()).await?;
    let opening = Access::open(client, LIMIT);
    let access = work.steps.measure("api server up", opening).await?;
    // For a new cluster, kind writes the file.
    if let Some(Origin::Prepared(_) | Origin::Kept(_)) = work.origin.get() {
        write_for_users(work, kubeconfig)?;
    }
    Ok(access)
}

/// Writes the kubeconfig of the cell, as kind would have written it.
fn write_for_users(work: &Work, kubeconfig: Kubeconfig) -> Result<(), Failure> {
    let path = work.file(KUBECONFIG);
    let text = for_users(kubeconfig, work.plan.cluster.as_str());
    let written = text.and_then(|text| {
        replace_private(&path, |file| io::Write::write_all(file, text.as_bytes()))
    });
    written.map_err(|error| filesystem_failed("write to", &path, &error))
}

/// The content of the file that kind would have written for the cluster `name`.
fn for_users(mut kubeconfig: Kubeconfig, name: &str) -> io::Result<String> {
    let name = format!("kind-{name}");
    for cluster in &mut kubeconfig.clusters {
        cluster.name.clone_from(&name);
    }
    for user in &mut kubeconfig.auth_infos {
        user.name.clone_from(&name);
    }
    for named in &mut kubeconfig.contexts {
        named.name.clone_from(&name);
        if let Some(context) = &mut named.context {
            context.cluster.clone_from(&name);
            context.user = Some(name.clone());
        }
    }
    kubeconfig.current_context = Some(name);
    serde_saphyr::to_string(&kubeconfig).map_err(io::Error::other)
}

/// The administrator's kubeconfig, with the address of the API server as seen from the host.
async fn kubeconfig(work: &Work, docker: &Docker) -> Result<Kubeconfig, Failure> {
    let node = work.control_plane().as_str();
    let path = admin_kubeconfig(work.plan.cell.kubernetes);
    let not_yet = || api_unreachable(&format!("{path} does not exist yet"));
    let text = read_file(docker, node, path).await?;
    let mut kubeconfig =
        Kubeconfig::from_yaml(&text.ok_or_else(not_yet)?).map_err(|_| not_yet())?;
    let inspecting = docker.inspect_container(node, None::<InspectContainerOptions>);
    let server = server(inspecting.await?);
    let server = server.ok_or_else(|| api_unreachable("its port is not published"))?;
    for named in &mut kubeconfig.clusters {
        if let Some(cluster) = &mut named.cluster {
            cluster.server = Some(server.clone());
        }
    }
    Ok(kubeconfig)
}

/// The URL at which the host reaches the API server of a control-plane node. Like kind, uses the published address as it
/// is, because the server's certificate is valid for this address.
fn server(node: ContainerInspectResponse) -> Option<String> {
    let ports = node.network_settings?.ports?;
    let binding = ports.get(API_SERVER)?.as_ref()?.first()?;
    let ip = binding.host_ip.as_deref().filter(|ip| !ip.is_empty());
    let ip: IpAddr = ip.unwrap_or("127.0.0.1").parse().ok()?;
    let port = binding.host_port.as_ref()?.parse().ok()?;
    Some(format!("https://{}", SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_api_server_is_reached_at_the_address_that_its_certificate_names() {
        let published = |ip: &str| {
            let binding = json!([{"HostIp": ip, "HostPort": "40123"}]);
            let node = json!({"NetworkSettings": {"Ports": {API_SERVER: binding}}});
            server(serde_json::from_value(node).unwrap()).unwrap()
        };
        assert_eq!(published("127.0.0.1"), "https://127.0.0.1:40123");
        assert_eq!(published(""), "https://127.0.0.1:40123");
        assert_eq!(published("0.0.0.0"), "https://0.0.0.0:40123");
        assert_eq!(published("::1"), "https://[::1]:40123");
        assert_eq!(server(ContainerInspectResponse::default()), None);
    }

    #[test]
    fn the_file_for_users_has_the_names_that_kind_uses() {
        let text = "apiVersion: v1\nkind: Config\nclusters: [{name: old, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: admin, user: {token: t}}]\ncontexts: [{name: admin@old, context: {cluster: old, user: admin}}]\ncurrent-context: admin@old\n";
        let text = for_users(Kubeconfig::from_yaml(text).unwrap(), "own").unwrap();
        assert!(!text.contains("old") && !text.contains("admin"), "{text}");
        let read = Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("kind-own"));
        assert_eq!(
            read.contexts[0].context.as_ref().unwrap().cluster,
            "kind-own"
        );
        let server = read.clusters[0].cluster.as_ref().unwrap().server.as_deref();
        assert_eq!(server, Some("https://127.0.0.1:1"));
    }
}
