//! Plans the selected cells. All errors that can be found before anything is created are found here.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::manifest_files::{file, folder};
use super::setup::{Setup, Workload, base};
use super::{RunFolder, generated};
use crate::cluster::{CellPlan, ClusterName, Provider, RunSurroundings};
use crate::machine::{Ledger, absolute};
use crate::manifest::{self, Inputs, ManifestProblems, Rendered, Sources};
use crate::matrix::{Cell, Checks, ConfigName, Coordinate, Deploy, Manifests, Prefix};
use crate::secret::Secret;

/// The token that agents register with. The mock accepts any token.
const BOOTSTRAP_TOKEN: &str = "e2e-test-token";

/// Selected cells can't be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file or folder that the matrix file refers to can't be read.
    #[error("failed to read {}, which `{table}` refers to", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The table that refers to it.
        table: String,
        /// The cause.
        source: io::Error,
    },
    /// A tool failed to render a kustomization or a chart.
    #[error("`{program}` failed to render {}: {message}", path.display())]
    Generate {
        /// The kustomization or the chart.
        path: PathBuf,
        /// The tool.
        program: String,
        /// Its output.
        message: String,
    },
    /// No tool that can render a kustomization or a chart is installed.
    #[error("{} can't be rendered without {programs}: {remedy}", path.display())]
    NoGenerator {
        /// The kustomization or the chart.
        path: PathBuf,
        /// The tools.
        programs: String,
        /// What to do.
        remedy: String,
    },
    /// The manifests can't be used.
    #[error("the manifests can't be used for {values}")]
    Manifests {
        /// The values for which they were rendered.
        values: String,
        /// The problems.
        source: ManifestProblems,
    },
}

impl PlanError {
    /// Adds the table that names the manifests of `cell`, if these manifests can't be read.
    fn named_by(mut self, cell: &Cell) -> Self {
        let mut layers = cell.layers.iter().rev();
        let own = layers.find(|layer| layer.variant.manifests.is_some());
        if let (Self::Read { table, .. }, Some(layer)) = (&mut self, own) {
            table.clone_from(&layer.table);
        }
        self
    }
}

/// The texts that cells are rendered from, and the rendered objects.
pub(super) struct Renderer {
    /// The texts of each source of manifests.
    sources: BTreeMap<Manifests, Sources>,
    deploy: Deploy,
    prefix: Prefix,
    provider: Arc<dyn Provider>,
    /// The rendered objects, which many cells share: they depend on the cell's values, node count and namespace.
    rendered: Mutex<HashMap<Values, Arc<Rendered>>>,
}

/// The values that objects depend on: config, further axes, node count and namespace.
type Values = (ConfigName, Vec<Coordinate>, usize, String);

impl Renderer {
    /// Reads the files that are named by `[deploy]` and by the values of the cells, and checks that all cells can be
    /// rendered for `provider`.
    pub(super) async fn new(
        workload: &Workload,
        provider: Arc<dyn Provider>,
    ) -> Result<Self, PlanError> {
        let Workload { matrix, cells, .. } = workload;
        let (deploy, base) = (&matrix.deploy, base(&workload.path));
        let mut sources = BTreeMap::new();
        for cell in cells {
            let manifests = manifests(cell, deploy);
            if !sources.contains_key(manifests) {
                let read = self::sources(manifests, deploy, &base).await;
                let read = read.map_err(|error| error.named_by(cell))?;
                sources.insert(manifests.clone(), read);
            }
        }
        let renderer = Self {
            sources,
            deploy: deploy.clone(),
            prefix: matrix.run.prefix.clone(),
            provider,
            rendered: Mutex::default(),
        };
        for cell in cells {
            renderer.render_for_any_run(cell)?;
        }
        Ok(renderer)
    }

    /// The objects of `cell` for the run `run` in `cluster`, rendered and checked.
    fn render(
        &self,
        cell: &Cell,
        cluster: &ClusterName,
        run: &str,
    ) -> Result<Arc<Rendered>, PlanError> {
        let variant = &cell.variant;
        let namespace = self.provider.namespace(cluster);
        let mut rendered = self.rendered.lock();
        let key = (
            cell.config.clone(),
            cell.axes.clone(),
            cell.nodes.get(),
            namespace.clone(),
        );
        let slot = match rendered.entry(key) {
            Entry::Occupied(known) => return Ok(Arc::clone(known.get())),
            Entry::Vacant(slot) => slot,
        };
        let images = self.provider.images(cell);
        let shared = self.provider.tenancy(cell, run, &namespace);
        let token = Secret::new(BOOTSTRAP_TOKEN);
        let inputs = Inputs {
            sources: self.sources_of(cell),
            daemon_set: self.deploy.daemon_set.as_deref(),
            config_key: self.deploy.config_key.as_deref(),
            namespace: &namespace,
            nodes: cell.nodes.get(),
            agent_image: &images.agent,
            mock_image: &images.mock,
            pull_policy: images.pull,
            agent_config: &variant.agent,
            env: &variant.env,
            bootstrap_token: &token,
            probes: self.deploy.probes,
            shared: shared.as_ref(),
        };
        let done = manifest::render(&inputs).map_err(|source| PlanError::Manifests {
            values: values(cell),
            source,
        })?;
        Ok(Arc::clone(slot.insert(Arc::new(done))))
    }

    /// The objects of `cell` for an arbitrary run: the run's token doesn't affect whether manifests are valid.
    pub(super) fn render_for_any_run(&self, cell: &Cell) -> Result<Arc<Rendered>, PlanError> {
        const ANY_RUN: &str = "xxxxx";
        self.render(
            cell,
            &ClusterName::new(&self.prefix, cell, ANY_RUN),
            ANY_RUN,
        )
    }

    /// The texts for the objects of `cell`, which has to be one of the cells that were given to [`Self::new`].
    fn sources_of(&self, cell: &Cell) -> &Sources {
        let manifests = manifests(cell, &self.deploy);
        self.sources
            .get(manifests)
            .unwrap_or_else(|| unreachable!("the manifests of {} were read", cell.id))
    }

    /// The name of the file that the configuration of the cell's agent is based on.
    pub(super) fn agent_config_file(&self, cell: &Cell) -> &str {
        &self.sources_of(cell).agent_config.0
    }

    /// The secrets of all rendered objects.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let rendered = self.rendered.lock();
        let secrets = rendered.values().flat_map(|rendered| rendered.secrets());
        secrets.collect()
    }

    /// Notices about the rendered texts, without repetitions.
    pub(super) fn notices(&self) -> Vec<String> {
        let rendered = self.rendered.lock();
        let all = rendered.values().flat_map(|rendered| rendered.notices());
        let unique: std::collections::BTreeSet<&String> = all.collect();
        unique.into_iter().cloned().collect()
    }
}

/// Where the manifests of `cell` come from.
fn manifests<'c>(cell: &'c Cell, deploy: &'c Deploy) -> &'c Manifests {
    cell.variant.manifests.as_ref().unwrap_or(&deploy.manifests)
}

/// The values of `cell` that its objects depend on, for messages.
fn values(cell: &Cell) -> String {
    let axes = cell.axes.iter();
    axes.fold(format!("config `{}`", cell.config), |text, coordinate| {
        format!("{text} and {} `{}`", coordinate.axis(), coordinate.value())
    })
}

async fn sources(
    manifests: &Manifests,
    deploy: &Deploy,
    base: &Path,
) -> Result<Sources, PlanError> {
    let mut sources = Sources::builtin();
    let manifests = match manifests {
        Manifests::BuiltIn => None,
        Manifests::At(path) if generated::is_kustomization(&base.join(path)) => {
            Some(generated::kustomization(base, path).await?)
        }
        Manifests::At(path) => Some(folder(base, path)?),
        Manifests::Chart { path, values } => Some(generated::chart(base, path, values).await?),
    };
    if let Some(manifests) = manifests {
        sources.manifests = manifests;
    }
    if let Some(path) = &deploy.agent_config {
        sources.agent_config = file(base, path)?;
    }
    if let Some(path) = &deploy.mock {
        sources.mock = folder(base, path)?;
    }
    Ok(sources)
}

/// Repetition number `round` of `cells`, in order.
pub(super) fn repeated(cells: &[Cell], round: u32) -> impl Iterator<Item = Cell> {
    cells.iter().map(move |cell| Cell {
        id: cell.id.repetition(round),
        ..cell.clone()
    })
}

/// Creates the plans of a run.
pub(super) struct Planner {
    setup: Arc<Setup>,
    checks: Arc<Checks>,
    /// The name of the cluster if the user chose it, for a single cell.
    cluster: Option<ClusterName>,
    /// The run's folder.
    pub(super) folder: RunFolder,
    /// The ledger.
    pub(super) ledger: Arc<Ledger>,
}

impl Planner {
    /// Plans a run whose files are in `folder`, and whose resources are recorded in `ledger`.
    pub(super) fn new(
        setup: &Arc<Setup>,
        cluster: Option<ClusterName>,
        folder: RunFolder,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            setup: Arc::clone(setup),
            checks: Arc::new(setup.matrix.checks.clone()),
            cluster,
            folder,
            ledger,
        }
    }

    /// The plans for repetition number `round` of the cells, in order. The first round consists of the cells
    /// themselves.
    pub(super) fn round(&self, round: u32) -> Vec<Arc<CellPlan>> {
        let cells = repeated(&self.setup.cells, round);
        cells.map(|cell| Arc::new(self.first(cell))).collect()
    }

    fn first(&self, cell: Cell) -> CellPlan {
        let (setup, run) = (&self.setup, self.folder.token());
        let settings = &setup.matrix.run;
        let cluster = match &self.cluster {
            Some(name) => name.clone(),
            None => ClusterName::new(&settings.prefix, &cell, run),
        };
        let rendered = setup.renderer.render(&cell, &cluster, run);
        let rendered = rendered.unwrap_or_else(|error| {
            unreachable!("the cell was rendered when the run was checked: {error}")
        });
        CellPlan {
            mask: setup.mask.clone(),
            cluster,
            namespace: rendered.namespace().to_owned(),
            rendered,
            phases: setup.matrix.phases.clone(),
            checks: Arc::clone(&self.checks),
            run: RunSurroundings {
                id: self.folder.id().to_owned(),
                provider: setup.provider.name(),
                folder: absolute(base(&setup.path)),
            },
            attempt: 1,
            output: self.folder.cell(&cell.id),
            output_name: format!("cells/{}", cell.id),
            runtime: self.ledger.folder().join("cells").join(cell.id.as_str()),
            ledger: Arc::clone(&self.ledger),
            clock: setup.clock.clone(),
            mark: format!("{run}/{}", cell.id),
            keep: settings.keep,
            listener: Mutex::default(),
            cell,
        }
    }
}

/// The plan of a further attempt at the cell of `first`. It shares only the cluster's name, which is free again: a cell
/// is retried only if nothing is left of it.
pub(super) fn further_attempt(first: &CellPlan, attempt: u32) -> CellPlan {
    let name = format!("attempt-{attempt}");
    CellPlan {
        attempt,
        output: first.output.join(&name),
        output_name: format!("{}/{name}", first.output_name),
        runtime: first.runtime.join(&name),
        mark: format!("{}/{name}", first.mark),
        ..first.without_listener()
    }
}
