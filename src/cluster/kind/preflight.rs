//! Checks the provider's requirements once, before any cell: the engine, kind, node images, and the machine's capacity.

use std::collections::BTreeMap;
use std::path::Path;

use bollard::Docker;
use bollard::models::Network;
use bollard::query_parameters::ListNetworksOptions;

use super::limits::{DISK_REMEDY, INOTIFY_REMEDY, POOL_REMEDY};
use super::provider::KindContext;
use super::{engine_health, network, node_image};
use crate::cluster::Survey;
use crate::cluster::capacity::{capacity, memory};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::probe;
use crate::matrix::{Cell, CellId, KubernetesVersion};

/// How many inotify instances a node's programs use.
pub(super) const INOTIFY_PER_NODE: u64 = 12;

const GIBIBYTE: u64 = 1 << 30;
/// The memory of a control-plane node and of a worker in bytes, including the agent and the mock.
const MEMORY: (u64, u64) = (GIBIBYTE, GIBIBYTE / 2);
/// The disk space of a node, in bytes.
const DISK_PER_NODE: u64 = GIBIBYTE;

/// How many bridge networks an engine's default address pools can provide.
const NETWORKS: usize = 31;

/// Checks all requirements.
pub(super) async fn preflight(
    shared: &KindContext,
    cells: &[Cell],
    deadline: &Deadline,
) -> Result<Survey, Failure> {
    let surveyed = deadline.run(survey(shared, cells)).await;
    surveyed.map_err(|timed_out| {
        let message = format!("checking the container engine {timed_out}");
        Failure::new(Symptom::EngineGone, message).with_remedy(engine_health::REMEDY)
    })?
}

async fn survey(shared: &KindContext, cells: &[Cell]) -> Result<Survey, Failure> {
    let docker = shared.docker().await?;
    let engine = docker.version().await?.version.unwrap_or_default();
    let engine = format!("Docker {engine}");
    let kind = shared.kind_version().await?;
    let mut evidence = vec![
        Evidence::new("container engine", "responds", engine, true),
        Evidence::new("kind", "on PATH", kind, true),
    ];
    let (images, skips) = node_images(shared, docker, cells).await?;
    evidence.extend(images);
    let nodes = cells.iter().map(|cell| cell.nodes.get()).max().unwrap_or(0) as u64;
    evidence.extend(inotify(nodes)?);
    let (control_plane, worker) = MEMORY;
    evidence.extend(memory(control_plane + worker * nodes.saturating_sub(1))?);
    evidence.extend(disk(docker, nodes).await?);
    evidence.push(address_pools(docker).await?);
    Ok(Survey {
        evidence,
        skips,
        ..Survey::default()
    })
}

/// Checks that the node image of each cell exists locally or in the registry. Also returns the cells to skip because
/// their image is missing, each with the reason.
async fn node_images(
    shared: &KindContext,
    docker: &Docker,
    cells: &[Cell],
) -> Result<(Vec<Evidence>, BTreeMap<CellId, String>), Failure> {
    let may_skip = shared.options.skip_missing_images;
    let mut groups: BTreeMap<(KubernetesVersion, Option<&str>), Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        let group = (cell.kubernetes, cell.node_image.as_deref());
        groups.entry(group).or_default().push(cell);
    }
    let mut found: BTreeMap<String, Evidence> = BTreeMap::new();
    let mut skips = BTreeMap::new();
    for cells in groups.into_values() {
        // A group has at least one cell.
        let image = match node_image::check(docker, cells[0]).await {
            Ok(image) => image,
            Err(failure) if may_skip && failure.symptom == Symptom::NodeImageMissing => {
                let reason = format!("--skip-missing-images: {}", failure.message);
                skips.extend(cells.iter().map(|cell| (cell.id.clone(), reason.clone())));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let seen = match image.id {
            Some(_) => "exists locally",
            None => "in the registry",
        };
        let subject = format!("node image {}", image.name);
        let row = Evidence::new(subject, "exists locally or can be pulled", seen, true);
        found.insert(image.name, row);
    }
    Ok((found.into_values().collect(), skips))
}

fn inotify(nodes: u64) -> Result<Option<Evidence>, Failure> {
    let Some(limits) = probe::inotify() else {
        return Ok(None);
    };
    let subject = "fs.inotify.max_user_instances";
    let (need, has) = (INOTIFY_PER_NODE * nodes, limits.instances);
    capacity(subject, need, has, "instances", INOTIFY_REMEDY).map(Some)
}

/// Checks the free disk space of the engine's folder; `None` if the folder isn't on this machine.
async fn disk(docker: &Docker, nodes: u64) -> Result<Option<Evidence>, Failure> {
    let folder = docker.info().await?.docker_root_dir.unwrap_or_default();
    let Ok(free) = probe::free_disk(Path::new(&folder)) else {
        return Ok(None);
    };
    let need = DISK_PER_NODE * (nodes + 1);
    let subject = format!("free disk at {folder}");
    capacity(&subject, need >> 20, free >> 20, "MiB", DISK_REMEDY).map(Some)
}

/// Checks that the network that all clusters share exists, or that an address pool is free for it.
async fn address_pools(docker: &Docker) -> Result<Evidence, Failure> {
    let exists = network::find(docker).await?.is_some();
    let networks = docker.list_networks(None::<ListNetworksOptions>).await?;
    let is_bridge = |network: &&Network| network.driver.as_deref() == Some("bridge");
    let bridges = networks.iter().filter(is_bridge).count();
    let holds = exists || bridges < NETWORKS;
    let seen = if exists {
        "exists".to_owned()
    } else {
        format!("{bridges} of about {NETWORKS} possible networks exist")
    };
    let expected = "exists or can be created";
    let evidence = Evidence::new("Docker network `kind`", expected, seen, holds);
    if holds {
        return Ok(evidence);
    }
    let message = "the container engine has no address pool left for a network";
    Err(Failure::new(Symptom::MachineTooSmall, message)
        .with_remedy(POOL_REMEDY)
        .with_evidence([evidence]))
}
