//! The provider: one connection to one cluster, for all cells of a run.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kube::Client;
use tokio::sync::OnceCell;

use super::cluster::ExistingCluster;
use super::connection::Connection;
use super::{labels, survey};
use crate::cluster::{CellPlan, Cluster, ClusterName, ImageNames, NodeName, Provider, Survey};
use crate::deadline::Deadline;
use crate::event::{Execution, Failure, Symptom};
use crate::machine::StateFolder;
use crate::manifest::{PullPolicy, Tenancy};
use crate::matrix::{Cell, Existing, ImageSource, Images, Phase, ProviderChoice, SystemUnderTest};

/// Options for all cells of a run.
#[derive(Clone, Debug)]
pub struct ExistingOptions {
    /// The table `[existing]` of the matrix file.
    pub existing: Existing,
    /// The table `[images]` of the matrix file.
    pub images: Images,
    /// The folder of the matrix file, to which paths are relative.
    pub base: PathBuf,
    /// The state folder, whose ledgers identify the namespaces of dead runs.
    pub state: StateFolder,
}

/// The provider `existing`.
pub struct ExistingProvider(Arc<TargetCluster>);

/// The cluster that the cells share, and the connection to it.
pub(super) struct TargetCluster {
    pub(super) connection: Connection,
    pub(super) names: ImageNames,
    pub(super) state: StateFolder,
    client: OnceCell<Client>,
    /// The nodes, control plane first, as found by preflight.
    pub(super) nodes: OnceCell<Vec<NodeName>>,
}

impl TargetCluster {
    /// The Kubernetes client. The first call creates it.
    pub(super) async fn client(&self) -> Result<&Client, Failure> {
        self.client
            .get_or_try_init(|| self.connection.client())
            .await
    }
}

impl ExistingProvider {
    /// A provider for `cells`. Reads the kubeconfig, but doesn't connect to the cluster.
    pub fn new(options: &ExistingOptions, cells: &[Cell]) -> Result<Self, Failure> {
        let has_custom_agent = |cell: &Cell| cell.variant.program.is_some();
        let names = ImageNames {
            agent: if cells.iter().all(has_custom_agent) && !cells.is_empty() {
                // No cell uses the default image.
                String::new()
            } else {
                tag("agent", &options.images.agent)?
            },
            mock: tag("mock", &options.images.mock)?,
            pull: PullPolicy::IfNotPresent,
        };
        let connection = Connection::choose(&options.existing, &options.base)?;
        Ok(Self(Arc::new(TargetCluster {
            connection,
            names,
            state: options.state.clone(),
            client: OnceCell::new(),
            nodes: OnceCell::new(),
        })))
    }

    /// A human-readable description of the cluster.
    pub fn place(&self) -> String {
        let connection = &self.0.connection;
        let source = if connection.is_current {
            ", the kubeconfig's current one"
        } else {
            ""
        };
        format!("context {}{source}", connection.context)
    }
}

fn tag(role: &'static str, program: &SystemUnderTest) -> Result<String, Failure> {
    match &program.image {
        ImageSource::Tag(tag) => Ok(tag.clone()),
        ImageSource::Reference | ImageSource::Build(_) => {
            let message = format!(
                "an existing cluster pulls its images itself, but `[images.{role}]` specifies none"
            );
            Err(Failure::new(Symptom::BadConfiguration, message).with_remedy(format!(
                "build and push an image that the cluster can pull, and set it as `image` under `[images.{role}]`; deploy/docker builds the images of the reference programs"
            )))
        }
    }
}

#[async_trait]
impl Provider for ExistingProvider {
    fn name(&self) -> &'static str {
        ProviderChoice::Existing.name()
    }

    fn execution(&self, phase: Phase) -> Execution {
        match phase {
            // The nodes pull the images when pods start.
            Phase::Images => Execution::Simulated,
            Phase::Preflight
            | Phase::Cluster
            | Phase::Manifests
            | Phase::Readiness
            | Phase::Assertions
            | Phase::RequestBodies
            | Phase::Periodic
            | Phase::Restart
            | Phase::LocalEndpoint
            | Phase::Cleanup => Execution::Run,
        }
    }

    async fn tools(&self) -> Vec<String> {
        vec![self.place()]
    }

    fn images(&self, cell: &Cell) -> ImageNames {
        self.0.names.of(cell)
    }

    fn namespace(&self, name: &ClusterName) -> String {
        name.to_string()
    }

    fn tenancy(&self, cell: &Cell, run: &str, namespace: &str) -> Option<Tenancy> {
        Some(labels::tenancy(cell, run, namespace, &self.0.names.mock))
    }

    /// All cells are in the same queue: an agent uses a port of its node, so two cells at once would conflict.
    fn queue(&self, _cell: &Cell) -> Option<String> {
        Some(self.0.connection.context.clone())
    }

    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure> {
        let surveyed = deadline.run(survey::survey(&self.0, cells, deadline)).await;
        surveyed.unwrap_or_else(|late| {
            let message = format!("checking the cluster {late}");
            Err(Failure::new(Symptom::ApiServerGone, message))
        })
    }

    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster> {
        Arc::new(ExistingCluster::new(Arc::clone(&self.0), plan))
    }
}
