//! What dead runs have left in the container engine: looked at and removed without any memory of the run but its ledger.
//!
//! Removes only what it is told by name, or what carries a label of ours.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    InspectContainerOptions, ListImagesOptionsBuilder, RemoveImageOptions,
};

use super::claim::Claim;
use super::destroy::{engine_failed, remove, remove_containers, remove_volume};
use super::network::{self, Unused};
use super::nodes::{self, is_missing};
use crate::cluster::images::{self, LABEL};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure};
use crate::machine::StateFolder;

/// How long the engine may go on making a container for a client that is dead.
const SETTLED: Duration = Duration::from_secs(3);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// The container engine, for who takes away what is left.
pub struct Reclaimer(Docker);

/// How many containers there are under the name of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those of the cluster that is claimed.
    pub own: usize,
    /// Those of another cluster that has the same name.
    pub foreign: usize,
}

impl Reclaimer {
    /// Connects to the engine.
    pub async fn connect() -> Result<Self, Failure> {
        images::connect().await.map(Self)
    }

    /// The names of all clusters that kind made.
    pub async fn clusters(&self) -> Result<BTreeSet<String>, Failure> {
        let found = nodes::containers(&self.0, None).await;
        Ok(nodes::clusters(
            &found.map_err(|error| engine_failed(&error))?,
        ))
    }

    /// The containers that have the name of the cluster of `claim`.
    pub async fn cluster(&self, claim: &Claim) -> Result<Found, Failure> {
        let found = nodes::containers(&self.0, Some(&claim.name)).await;
        let found = found.map_err(|error| engine_failed(&error))?;
        let own = found.iter().filter(|it| claim.owns(it)).count();
        let foreign = found.len() - own;
        Ok(Found { own, foreign })
    }

    /// Removes the containers of `claim` and their volumes. If the engine may still be at work for a client that is dead, `settling`,
    /// looks until nothing more comes.
    pub async fn remove_cluster(
        &self,
        claim: &Claim,
        settling: bool,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        remove_until_quiet(&self.0, claim, settling, deadline).await
    }

    /// Whether the container with this id exists.
    pub async fn has_container(&self, id: &str) -> Result<bool, Failure> {
        let options = None::<InspectContainerOptions>;
        match self.0.inspect_container(id, options).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(engine_failed(&error)),
        }
    }

    /// Removes the container with this id, together with its volumes.
    pub async fn remove_container(&self, id: &str) -> Result<(), Failure> {
        let removed = remove(&self.0, id).await;
        removed.map_err(|error| engine_failed(&error))
    }

    /// Whether the volume called exactly `name` is there.
    pub async fn has_volume(&self, name: &str) -> Result<bool, Failure> {
        match self.0.inspect_volume(name).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(engine_failed(&error)),
        }
    }

    /// Removes the volume called exactly `name`, and says whether it is gone.
    pub async fn remove_volume(&self, name: &str) -> Result<bool, Failure> {
        let removed = remove_volume(&self.0, name).await;
        removed.map_err(|error| engine_failed(&error))
    }

    /// Whether the network is ours, and nobody uses it.
    pub async fn has_unused_network(&self, state: &StateFolder) -> Result<bool, Failure> {
        network::is_unused(&self.0, state).await
    }

    /// Removes the network, where it is ours and nobody uses it.
    pub async fn remove_network(&self, state: &StateFolder) -> Result<Unused, Failure> {
        network::remove_unused(&self.0, state).await
    }

    /// The images that carry our label, by name, or by id where they have none.
    pub async fn images(&self) -> Result<Vec<String>, Failure> {
        let filters = HashMap::from([("label", vec![LABEL])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = self.0.list_images(Some(options)).await;
        let images = images.map_err(|error| engine_failed(&error))?;
        let names = images.into_iter().flat_map(|image| {
            if image.repo_tags.is_empty() {
                vec![image.id]
            } else {
                image.repo_tags
            }
        });
        Ok(names.collect())
    }

    /// Removes an image, and says whether it is gone. One that a container uses stays.
    pub async fn remove_image(&self, name: &str) -> Result<bool, Failure> {
        let removing = self.0.remove_image(name, None::<RemoveImageOptions>, None);
        match removing.await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(true),
            Err(Error::DockerResponseServerError {
                status_code: 409, ..
            }) => Ok(false),
            Err(error) => Err(engine_failed(&error)),
        }
    }
}

/// See [`Reclaimer::remove_cluster`].
pub(super) async fn remove_until_quiet(
    docker: &Docker,
    claim: &Claim,
    settling: bool,
    deadline: &Deadline,
) -> Result<Vec<Evidence>, Failure> {
    let mut evidence = remove_containers(docker, claim).await?;
    let mut quiet = deadline.within(SETTLED);
    while settling && !quiet.has_passed() {
        quiet.within(LOOK).passed().await;
        let found = nodes::containers(docker, Some(&claim.name)).await;
        let found = found.map_err(|error| engine_failed(&error))?;
        if found.iter().any(|container| claim.owns(container)) {
            evidence = remove_containers(docker, claim).await?;
            quiet = deadline.within(SETTLED);
        }
    }
    Ok(evidence)
}
