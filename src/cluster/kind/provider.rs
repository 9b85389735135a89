//! The provider, and the resources that all clusters of a run share. Each shared resource is created when it is first
//! needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use super::claim::NetworkClaim;
use super::cluster::KindCluster;
use super::config;
use super::fingerprint::Fingerprint;
use super::prepared::{self, Templates};
use super::reuse::{self, Parked, Pool};
use super::work::{Source, Work};
use super::{adopt, destroy, engine_health, network, node_image, preflight};
use crate::cluster::images::{self, Archive, ImageNames, image_names};
use crate::cluster::kubernetes::Tenant;
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Cluster, ClusterName, NAMESPACE, Preparation, Provider, Survey};
use crate::deadline::{Deadline, RunClock};
use crate::error::chain;
use crate::event::{Execution, Failure, Symptom};
use crate::machine::budget::{MEMORY_OF_CONTROL_PLANE, Need, SLOTS_OF_CONTROL_PLANE};
use crate::machine::{Ledger, Lock, LockError, StateFolder, process};
use crate::matrix::{Cell, Images, Phase, Prefix, Prepared, ProviderChoice};

/// How long computing the fingerprint of a cluster may take.
const FINGERPRINT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long wiping a cluster that an earlier run kept may take.
const WIPE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long deleting a cluster outside of a cell's cleanup may take.
pub(super) const DELETION_TIMEOUT: Duration = Duration::from_secs(60);

/// Options for all clusters of a run.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// The state folder, which contains locks, archives and ledgers.
    pub state: StateFolder,
    /// The runner's own binary, which is the content of reference images.
    pub runner: PathBuf,
    /// The table `[images]` of the matrix file.
    pub images: Images,
    /// The matrix file's folder, to which paths are relative.
    pub base: PathBuf,
    /// Whether to use the settings that make a cluster usable sooner.
    pub fast_setup: bool,
    /// Whether cells that need the same cluster and agent image share a cluster, one after another.
    pub reuse: bool,
    /// Whether clusters may be clones of templates.
    pub prepared: Prepared,
    /// Whether cells are skipped if their node image exists neither locally nor in its registry.
    pub skip_missing_images: bool,
    /// The prefix of cluster names.
    pub prefix: Prefix,
    /// The clock for deadlines.
    pub clock: RunClock,
}

/// The provider `kind`: real clusters in Docker.
pub struct KindProvider(Arc<KindContext>);

/// The state that the clusters of a run share.
pub(super) struct KindContext {
    pub(super) options: KindOptions,
    /// The names of the images of the agent and the mock.
    pub(super) names: ImageNames,
    docker: OnceCell<Docker>,
    kind_version: OnceCell<String>,
    /// The run's claim to the shared network; `None` if the network isn't ours.
    network: OnceCell<Option<NetworkClaim>>,
    /// For each agent image, the archives that its cells need, by the name of the image.
    archives: Mutex<BTreeMap<String, Arc<OnceCell<Vec<Archive>>>>>,
    /// The clusters that several cells share.
    pub(super) pool: Pool,
    /// The templates of clusters.
    pub(super) templates: Templates,
}

impl KindProvider {
    /// Creates a provider. Reads the files that image names depend on, but changes nothing.
    pub fn new(options: KindOptions) -> Result<Self, Failure> {
        let names = image_names(&options.images, &options.base, &options.runner)?;
        Ok(Self(Arc::new(KindContext {
            options,
            names,
            docker: OnceCell::new(),
            kind_version: OnceCell::new(),
            network: OnceCell::new(),
            archives: Mutex::default(),
            pool: Pool::default(),
            templates: Templates::default(),
        })))
    }
}

impl KindContext {
    /// The client of the container engine. The first call connects to the engine.
    pub(super) async fn docker(&self) -> Result<&Docker, Failure> {
        self.docker.get_or_try_init(images::connect).await
    }

    /// Locks the name of a cluster for this run; `None` if another run uses the name.
    pub(super) fn lock_name(&self, cluster: &str) -> Result<Option<Lock>, LockError> {
        Lock::try_take(&self.options.state.lock(&format!("cluster-{cluster}")))
    }

    /// The output of `kind version`.
    pub(super) async fn kind_version(&self) -> Result<&String, Failure> {
        self.kind_version
            .get_or_try_init(|| kind_version(&self.options))
            .await
    }

    /// Creates the shared network if it doesn't exist, and uses it until the end of the run.
    pub(super) async fn network(&self, ledger: &Ledger) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let ensuring = || network::ensure(docker, &self.options.state, ledger);
        self.network.get_or_try_init(ensuring).await?;
        Ok(())
    }

    /// The clean cluster that waits for the cell of `plan`, if this is the cell's first attempt and the cluster's
    /// fingerprint matches that of a fresh cluster. Otherwise, deletes the waiting cluster.
    async fn parked(&self, plan: &CellPlan) -> Option<Parked> {
        let parked = self.pool.take(&plan.cell)?;
        let why = if plan.attempt > 1 {
            "a retry gets a new cluster".to_owned()
        } else {
            match self.fingerprint(&plan.cell).await {
                Ok(fingerprint) => {
                    let differences = parked.fingerprint.differences(&fingerprint);
                    if differences.is_empty() {
                        return Some(parked);
                    }
                    format!("{} changed since it was created", differences.join(", "))
                }
                Err(failure) => failure.message,
            }
        };
        self.reject(&parked, &why).await;
        None
    }

    /// Deletes a cluster that can't be reused, and records `why`.
    pub(super) async fn reject(&self, parked: &Parked, why: &str) {
        let name = &parked.work.plan.cluster;
        let deadline = self.options.clock.deadline(DELETION_TIMEOUT);
        let deleted = delete_parked(parked, &deadline).await;
        self.pool.rejected(match deleted {
            Ok(()) => format!("the cluster {name} was deleted instead of reused: {why}"),
            Err(failure) => {
                format!("the cluster {name} still exists: {failure}; it was not reused: {why}")
            }
        });
    }

    /// The fingerprint of a new cluster for `cell`. This may build or pull images, so it has its own deadline.
    pub(super) async fn fingerprint(&self, cell: &Cell) -> Result<Fingerprint, Failure> {
        let deadline = self.options.clock.deadline(FINGERPRINT_TIMEOUT);
        let computing = async {
            let image = node_image::resolve(self.docker().await?, cell).await?;
            Fingerprint::of(self, cell, &image).await
        };
        deadline.run(computing).await.unwrap_or_else(|timed_out| {
            let message = format!("computing the fingerprint of its cluster {timed_out}");
            Err(Failure::new(Symptom::ClusterNotUp, message))
        })
    }

    /// The archives that contain the images of `cell`.
    pub(super) async fn archives(&self, cell: &Cell) -> Result<Vec<Archive>, Failure> {
        let names = self.names.of(cell);
        let archives = {
            let mut archives = self.archives.lock().await;
            Arc::clone(archives.entry(names.agent.clone()).or_default())
        };
        let creating = archives.get_or_try_init(async || {
            let options = &self.options;
            let (state, base, runner) = (&options.state, &options.base, &options.runner);
            let images = Images {
                agent: options.images.agent_of(cell),
                ..options.images.clone()
            };
            let docker = self.docker().await?;
            images::ensure(docker, state, &images, base, runner, &names).await
        });
        creating.await.cloned()
    }
}

#[async_trait]
impl Provider for KindProvider {
    fn name(&self) -> &'static str {
        ProviderChoice::Kind.name()
    }

    fn reuses(&self) -> bool {
        true
    }

    fn execution(&self, _phase: Phase) -> Execution {
        Execution::Run
    }

    fn images(&self, cell: &Cell) -> ImageNames {
        self.0.names.of(cell)
    }

    fn cluster_config(&self, cell: &Cell) -> Option<String> {
        let content = config::without_run(cell, self.0.options.fast_setup);
        serde_saphyr::to_string(&content).ok()
    }

    async fn tools(&self) -> Vec<String> {
        let mut tools = Vec::new();
        if let Ok(docker) = self.0.docker().await
            && let Ok(version) = docker.version().await
        {
            tools.push(format!("Docker {}", version.version.unwrap_or_default()));
        }
        tools.extend(self.0.kind_version().await.ok().cloned());
        tools
    }

    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure> {
        preflight::preflight(&self.0, cells, deadline).await
    }

    fn expect(&self, cells: &[Cell]) {
        self.0.pool.expect(cells);
    }

    /// A worker needs about half as much as a control plane. When its agents are running, a cluster needs half as many
    /// slots as during its start.
    fn need(&self, cell: &Cell) -> Need {
        let nodes = cell.nodes.get();
        let workers = nodes - 1;
        let slots = SLOTS_OF_CONTROL_PLANE + SLOTS_OF_CONTROL_PLANE / 2 * workers;
        Need {
            slots,
            slots_when_ready: slots / 2,
            memory: MEMORY_OF_CONTROL_PLANE + MEMORY_OF_CONTROL_PLANE / 2 * workers as u64,
            inotify: preflight::INOTIFY_PER_NODE * nodes as u64,
        }
    }

    async fn prepare(
        &self,
        plan: Arc<CellPlan>,
        stop: &CancellationToken,
    ) -> Result<Option<Preparation>, Failure> {
        let tenant = Tenant::new(plan, Arc::new(Milestone::new()));
        let work = Arc::new(Work::new(Arc::clone(&self.0), &tenant, Source::Any));
        let image = node_image::ensure(&work).await?;
        let preparing = prepared::prepare(&work, &image, stop, prepared::TIMEOUT);
        let (template, is_new) = preparing.await?;
        let template = template.id.clone();
        Ok(Some(Preparation { template, is_new }))
    }

    fn namespace(&self, name: &ClusterName) -> String {
        if self.0.options.reuse {
            name.to_string()
        } else {
            NAMESPACE.to_owned()
        }
    }

    fn queue(&self, cell: &Cell) -> Option<String> {
        self.0.options.reuse.then(|| reuse::group(cell))
    }

    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster> {
        let parked = match self.0.parked(&plan).await {
            None if self.0.options.reuse && plan.attempt == 1 => adopt_kept(&self.0, &plan).await,
            parked => parked,
        };
        Arc::new(KindCluster::new(Arc::clone(&self.0), plan, parked))
    }

    async fn finish(&self, ledger: &Ledger, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let parked = self.0.pool.drain();
        let network = self.0.network.get();
        if parked.is_empty() && network.is_none() {
            return Ok(self.0.pool.summary());
        }
        // Nothing can be deleted without the engine. If the engine is gone, the cells have already waited for it, so
        // don't wait for it until `deadline`.
        let docker = self.0.docker().await?;
        let patience = deadline.within(engine_health::PATIENCE);
        engine_health::ping(docker, &patience).await?;
        let mut deleted = Ok(());
        for parked in parked {
            let result = delete_parked(&parked, deadline).await;
            deleted = deleted.and(result);
        }
        if let Some(Some(claim)) = network {
            let leaving = network::leave(docker, &self.0.options.state, ledger, claim);
            deadline.run(leaving).await.unwrap_or_else(|timed_out| {
                let message = format!(
                    "deleting the Docker network {timed_out}; run `e2e-matrix gc` to delete it"
                );
                Err(Failure::new(Symptom::CleanupIncomplete, message))
            })?;
        }
        deleted?;
        Ok(self.0.pool.summary())
    }
}

/// A cluster that an earlier run kept, if one fits the cell of `plan` and could be wiped.
async fn adopt_kept(shared: &Arc<KindContext>, plan: &Arc<CellPlan>) -> Option<Parked> {
    let deadline = shared.options.clock.deadline(WIPE_TIMEOUT);
    let adopted = Box::pin(adopt::adopt(shared, plan, &deadline)).await;
    adopted.unwrap_or_else(|failure| {
        let why = format!("no kept cluster was used: {failure}");
        shared.pool.rejected(why);
        None
    })
}

/// Deletes a cluster that no cell will use anymore.
async fn delete_parked(parked: &Parked, deadline: &Deadline) -> Result<(), Failure> {
    let work = &parked.work;
    work.end(deadline).await;
    destroy::destroy(work, &work.steps, deadline)
        .await
        .map(drop)
}

/// The output of `kind version`, such as `kind v0.33.0 go1.26 linux/amd64`.
async fn kind_version(options: &KindOptions) -> Result<String, Failure> {
    let missing = |why: String| {
        Failure::new(Symptom::ToolMissing, why)
            .with_remedy("install kind, https://kind.sigs.k8s.io, or use `--provider local`")
    };
    let deadline = options.clock.deadline(Duration::from_secs(20));
    let output = process::output(Command::new("kind").arg("version"), &deadline)
        .await
        .map_err(|error| missing(chain(&error)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(missing(format!("`kind version` failed: {}", stderr.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
