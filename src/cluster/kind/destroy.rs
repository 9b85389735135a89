//! Deletes everything that belongs to a cell, in any state, and checks that nothing is left.
//!
//! The containers are deleted through the engine, all at the same time. `kind delete cluster` isn't needed: it would
//! also remove the cluster from a kubeconfig, but the cell's kubeconfig is a private file that is deleted with its
//! folder.

use std::io;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptions};
use futures::future::try_join_all;

use super::adopt;
use super::claim::{Claim, Live};
use super::nodes::{containers, is_gone};
use super::thaw::thaw;
use super::work::Work;
use crate::cluster::{StepLog, host};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::{LiveClaims, open_files};

/// How long deleting a container may take before it is assumed to be blocked. The engine itself gives up after twelve
/// seconds.
const UNUSUALLY_LONG: Duration = Duration::from_secs(3);

/// The failure if `action`, such as `write to`, failed for a file or folder on the host.
pub(super) fn filesystem_failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    let message = format!("failed to {action} {}: {}", path.display(), chain(error));
    Failure::new(Symptom::FilesystemFailed, message)
}

/// Deletes the cluster. Its tasks must have ended, and its forward must be closed.
pub(super) async fn destroy(
    work: &Work,
    steps: &StepLog,
    deadline: &Deadline,
) -> Result<Vec<Evidence>, Failure> {
    open_files::use_reserve();
    let deleting = steps.measure("delete", delete_all(work));
    let mut evidence = match deadline.run(deleting).await {
        Ok(deleted) => deleted?,
        Err(timed_out) => return Err(incomplete(work, format!("cleanup {timed_out}"))),
    };
    evidence.push(host::delete_folder(&work.plan.runtime).await);
    let failure = incomplete(work, "some of the cell's resources still exist".to_owned());
    let evidence = failure.unless_all_hold(evidence)?;
    adopt::forget_earlier_runs(work);
    work.all_gone()?;
    work.release_name()?;
    Ok(evidence)
}

async fn delete_all(work: &Work) -> Result<Vec<Evidence>, Failure> {
    let Some(claim) = work.claim() else {
        // Nothing was created.
        return Ok(Vec::new());
    };
    let docker = work.shared.docker().await?;
    let live = LiveClaims::except(&work.shared.options.state, work.plan.ledger.run());
    delete_containers(docker, &claim, &live).await
}

/// Deletes the containers of `claim` and their volumes, and checks that they are gone. Other containers with the
/// cluster's name stay, and so do those that a live run claims.
pub(super) async fn delete_containers(
    docker: &Docker,
    claim: &Claim,
    live: &LiveClaims,
) -> Result<Vec<Evidence>, Failure> {
    let name = &claim.name;
    let found = own_containers(docker, claim, live).await?;
    let mut volumes = claim.volumes.clone();
    volumes.extend(self::volumes(&found));
    let claims = Live::read(live)?;
    volumes.retain(|volume| !claims.owns_volume(volume));
    let ids = found.iter().filter_map(|it| it.id.as_deref());
    let deleting = ids.map(|id| delete_container(docker, id));
    try_join_all(deleting).await?;
    let left = own_containers(docker, claim, live).await?;
    let mut left_volumes = Vec::new();
    for volume in &volumes {
        let deleted = docker.remove_volume(volume, None::<RemoveVolumeOptions>);
        if !is_gone(deleted.await)? {
            left_volumes.push(volume.clone());
        }
    }
    let subject = |what: &str, count: usize| format!("{what} of {name} ({count} deleted)");
    Ok(vec![
        Evidence::none_left(subject("containers", found.len()), &names(&left)),
        Evidence::none_left(subject("volumes", volumes.len()), &left_volumes),
    ])
}

/// The containers that belong to `claim` and that no live run claims.
pub(super) async fn own_containers(
    docker: &Docker,
    claim: &Claim,
    live: &LiveClaims,
) -> Result<Vec<ContainerSummary>, Failure> {
    let mut found = containers(docker, Some(&claim.name)).await?;
    let live = Live::read(live)?;
    found.retain(|container| claim.may_delete(container, &live));
    Ok(found)
}

/// Deletes the container with this id, and its volumes.
async fn delete_container(docker: &Docker, id: &str) -> Result<(), Failure> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    let deleting = docker.remove_container(id, Some(options));
    tokio::pin!(deleting);
    let deleted = loop {
        tokio::select! {
            deleted = &mut deleting => break deleted,
            () = tokio::time::sleep(UNUSUALLY_LONG) => thaw(id),
        }
    };
    // If something else is already deleting the container, it may still exist. The caller checks whether it is gone.
    is_gone(deleted).map(drop)
}

/// The names of the volumes that `containers` mount.
pub(super) fn volumes(containers: &[ContainerSummary]) -> Vec<String> {
    let mounts = containers.iter().flat_map(|it| it.mounts.iter().flatten());
    let volumes = mounts.filter(|mount| mount.typ.as_deref() == Some("volume"));
    volumes.filter_map(|mount| mount.name.clone()).collect()
}

fn names(containers: &[ContainerSummary]) -> Vec<String> {
    let names = containers.iter().flat_map(|it| it.names.iter().flatten());
    let names = names.map(|name| name.trim_start_matches('/').to_owned());
    names.collect()
}

fn incomplete(work: &Work, message: String) -> Failure {
    let name = &work.plan.cluster;
    Failure::new(Symptom::CleanupIncomplete, message).with_remedy(format!(
        "delete the rest with `kind delete cluster --name {name}`"
    ))
}
