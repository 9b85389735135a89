//! The choice of the provider, and the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::existing::{
    ExistingError, ExistingOptions, ExistingProvider, ExistingReclaimer,
};
use crate::cluster::images;
use crate::cluster::kind::{KindOptions, KindProvider, KindReclaimer};
use crate::cluster::local::LocalProvider;
use crate::cluster::{HostReclaimer, Programs, Provider, Reclaim};
use crate::deadline::RunClock;
use crate::event::Failure;
use crate::machine::{StateFolder, absolute};
use crate::matrix::{
    Cell, Existing, ImageSource, Images, Prefix, Prepared, ProviderChoice, SystemUnderTest,
};

/// How long the engine may take to respond.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Options that any provider may need.
pub(super) struct ProviderOptions {
    /// The runner's own binary.
    pub runner: PathBuf,
    /// The folder that paths in the matrix file are relative to.
    pub base: PathBuf,
    /// `[images]`.
    pub images: Images,
    /// `[existing]`.
    pub existing: Existing,
    /// `[run] cluster-prefix`.
    pub prefix: Prefix,
    /// `[run] fast-setup`.
    pub fast_setup: bool,
    /// `[run] reuse`.
    pub reuse: bool,
    /// `[run] prepared`.
    pub prepared: Prepared,
    /// `[run] skip-missing-images`.
    pub skip_missing_images: bool,
    /// The state folder.
    pub state: StateFolder,
    /// The clock for deadlines.
    pub clock: RunClock,
}

/// The chosen provider.
pub(super) struct Chosen {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// Why it was chosen, if it wasn't requested by name.
    pub reason: Option<String>,
}

/// There is no usable provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// An image that has no local program.
    #[error("`{table}` sets an image, which the local provider can't run")]
    NoBinary {
        /// The table of the matrix file.
        table: String,
        /// Why the local provider was chosen.
        reason: Option<String>,
    },
    /// A local program without an image for clusters.
    #[error("`{table}` has a `binary` but no `image`, which clusters need")]
    NoImage {
        /// The table of the matrix file.
        table: String,
    },
    /// The existing cluster can't be used.
    #[error(transparent)]
    Existing(#[from] ExistingError),
    /// The provider can't be set up.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl ProviderError {
    /// Whether the matrix file or an option is the cause.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoBinary { .. }
            | Self::NoImage { .. }
            | Self::Existing(ExistingError::NoTag { .. }) => true,
            Self::Existing(ExistingError::Connection(failure)) | Self::Failed(failure) => {
                failure.class() == crate::event::FailureClass::Configuration
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoImage { table } => Some(format!(
                "add `image = \"…\"` to `{table}`, or use `--provider local`"
            )),
            Self::NoBinary { table, reason } => {
                let why = reason.as_ref().map(|reason| format!(" ({reason})"));
                Some(format!(
                    "set `binary` under `{table}` to the program that the local provider{} should start instead, or use `--provider kind`",
                    why.unwrap_or_default()
                ))
            }
            Self::Existing(ExistingError::NoTag { role }) => Some(format!(
                "build and push an image that the cluster can pull, and set it as `image` under `[images.{role}]`; deploy/docker builds the images of the reference programs"
            )),
            Self::Existing(ExistingError::Connection(failure)) | Self::Failed(failure) => {
                failure.remedy.clone()
            }
        }
    }
}

/// All providers with entries in ledgers. A provider is registered here and in [`choose`].
pub(super) fn reclaimers(kind: &Arc<KindReclaimer>) -> [Arc<dyn Reclaim>; 3] {
    let kind = Arc::clone(kind);
    [Arc::new(HostReclaimer), kind, Arc::new(ExistingReclaimer)]
}

/// Creates the provider for `choice`, and checks that it can run the agents of `cells`.
pub(super) async fn choose(
    choice: ProviderChoice,
    options: ProviderOptions,
    cells: &[Cell],
) -> Result<Chosen, ProviderError> {
    match choice {
        ProviderChoice::Kind => kind(options, None, cells),
        ProviderChoice::Local => local(options, None, cells),
        ProviderChoice::Existing => existing(options, cells),
        ProviderChoice::Auto => match why_not_kind(&options.clock).await {
            None => {
                let reason = "the Docker engine responds and kind is on the PATH".to_owned();
                kind(options, Some(reason), cells)
            }
            Some(reason) => local(options, Some(reason), cells),
        },
    }
}

/// Checks that each agent that `cells` set on an axis has an image.
fn have_images(cells: &[Cell]) -> Result<(), ProviderError> {
    let mut programs = cells
        .iter()
        .filter_map(|cell| cell.variant.program.as_ref());
    match programs.find(|program| program.image.is_none()) {
        None => Ok(()),
        Some(program) => Err(ProviderError::NoImage {
            table: program.table.clone(),
        }),
    }
}

/// Why real clusters can't run here, and what to install.
async fn why_not_kind(clock: &RunClock) -> Option<String> {
    if which::which("kind").is_err() {
        return Some(
            "real clusters can't be used, because `kind` is not on the PATH; to use them, install Docker and kind (https://kind.sigs.k8s.io)".to_owned(),
        );
    }
    let deadline = clock.deadline(ENGINE_TIMEOUT);
    let failure = match deadline.run(images::connect()).await {
        Ok(Ok(_)) => return None,
        Ok(Err(failure)) => failure.to_string(),
        Err(timed_out) => timed_out.to_string(),
    };
    Some(format!(
        "real clusters can't be used, because the Docker engine can't be used ({failure})"
    ))
}

fn kind(
    options: ProviderOptions,
    reason: Option<String>,
    cells: &[Cell],
) -> Result<Chosen, ProviderError> {
    have_images(cells)?;
    let provider = KindProvider::new(KindOptions {
        state: options.state,
        runner: options.runner,
        images: options.images,
        base: options.base,
        fast_setup: options.fast_setup,
        reuse: options.reuse,
        prepared: options.prepared,
        skip_missing_images: options.skip_missing_images,
        prefix: options.prefix,
        clock: options.clock,
    })?;
    Ok(Chosen {
        provider: Arc::new(provider),
        reason,
    })
}

fn existing(options: ProviderOptions, cells: &[Cell]) -> Result<Chosen, ProviderError> {
    have_images(cells)?;
    let options = ExistingOptions {
        existing: options.existing,
        images: options.images,
        base: options.base,
        state: options.state,
    };
    let provider = ExistingProvider::new(&options, cells)?;
    let reason = Some(provider.place());
    Ok(Chosen {
        provider: Arc::new(provider),
        reason,
    })
}

fn local(
    options: ProviderOptions,
    reason: Option<String>,
    cells: &[Cell],
) -> Result<Chosen, ProviderError> {
    let ProviderOptions {
        runner,
        base,
        images,
        ..
    } = options;
    let agents = cells.iter().map(|cell| {
        let own = cell.variant.program.as_ref();
        let table = own.map_or("[images.agent]", |program| &program.table);
        (table.to_owned(), images.agent_of(cell))
    });
    let mock = ("[images.mock]".to_owned(), images.mock.clone());
    for (table, program) in agents.chain([mock]) {
        if program.image != ImageSource::Reference && program.binary.is_none() {
            return Err(ProviderError::NoBinary { table, reason });
        }
    }
    // Each process has its own working directory.
    let base = absolute(base);
    let binary = |program: SystemUnderTest| program.binary.map(|path| base.join(path));
    let programs = Programs {
        runner,
        agent: binary(images.agent),
        mock: binary(images.mock),
        base,
    };
    Ok(Chosen {
        provider: Arc::new(LocalProvider::new(programs)),
        reason,
    })
}
