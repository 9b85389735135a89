//! Which provider a run gets, and why.

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
use crate::matrix::{Existing, ImageSource, Images, Prefix, ProviderChoice, SystemUnderTest};

/// How long the engine may take to say that it is there.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// What every provider may need.
pub(super) struct ProviderOptions {
    /// The runner's own binary.
    pub runner: PathBuf,
    /// The folder that paths of the matrix file are relative to.
    pub base: PathBuf,
    /// `[images]`.
    pub images: Images,
    /// `[existing]`.
    pub existing: Existing,
    /// `[run] prefix`.
    pub prefix: Prefix,
    /// `[run] tuned`.
    pub tuned: bool,
    /// `[run] reuse`.
    pub reuse: bool,
    /// Where runs keep what other runs must find.
    pub state: StateFolder,
    /// What deadlines are made of.
    pub clock: RunClock,
}

/// The provider of a run.
pub(super) struct Chosen {
    /// It.
    pub provider: Arc<dyn Provider>,
    /// Why this one, where it was not asked for by name.
    pub reason: Option<String>,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A foreign image that nothing on this machine stands for.
    #[error("`[images.{role}]` names an image, which the local provider can't run")]
    NoBinary {
        /// `agent` or `mock`.
        role: &'static str,
        /// Why the provider is local.
        reason: Option<String>,
    },
    /// The cluster that is there can't be used.
    #[error(transparent)]
    Existing(#[from] ExistingError),
    /// The provider can't be set up.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl ProviderError {
    /// Whether the matrix or an option is to blame.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoBinary { .. } | Self::Existing(ExistingError::NoTag { .. }) => true,
            Self::Existing(ExistingError::Connection(failure)) | Self::Failed(failure) => {
                failure.class() == crate::event::FailureClass::Configuration
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoBinary { role, reason } => {
                let why = reason.as_ref().map(|reason| format!(" ({reason})"));
                Some(format!(
                    "say what the local provider{} starts for it as `binary` under `[images.{role}]`, or run it with `--provider kind`",
                    why.unwrap_or_default()
                ))
            }
            Self::Existing(ExistingError::NoTag { role }) => Some(format!(
                "build and push an image that the cluster can pull, and name it as `tag` under `[images.{role}]`; those of the reference programs are built with deploy/docker"
            )),
            Self::Existing(ExistingError::Connection(failure)) | Self::Failed(failure) => {
                failure.remedy.clone()
            }
        }
    }
}

/// Everything that has entries in ledgers. A provider is registered here, and in [`choose`].
pub(super) fn reclaimers(kind: &Arc<KindReclaimer>) -> [Arc<dyn Reclaim>; 3] {
    let kind = Arc::clone(kind);
    [Arc::new(HostReclaimer), kind, Arc::new(ExistingReclaimer)]
}

/// Makes the provider that `choice` asks for.
pub(super) async fn choose(
    choice: ProviderChoice,
    options: ProviderOptions,
) -> Result<Chosen, ProviderError> {
    match choice {
        ProviderChoice::Kind => kind(options, None),
        ProviderChoice::Local => local(options, None),
        ProviderChoice::Existing => existing(options),
        ProviderChoice::Auto => match why_not_kind(&options.clock).await {
            None => kind(
                options,
                Some("the Docker engine answers and kind is there".to_owned()),
            ),
            Some(reason) => local(options, Some(reason)),
        },
    }
}

/// What keeps real clusters from running here, and how to get them.
async fn why_not_kind(clock: &RunClock) -> Option<String> {
    if crate::machine::probe::on_path("kind").is_none() {
        return Some(
            "no real clusters, for `kind` is not on the PATH; to get them, install Docker and kind (https://kind.sigs.k8s.io)".to_owned(),
        );
    }
    let deadline = clock.deadline(ENGINE_TIMEOUT);
    let failure = match deadline.run(images::connect()).await {
        Ok(Ok(_)) => return None,
        Ok(Err(failure)) => failure.to_string(),
        Err(timed_out) => timed_out.to_string(),
    };
    Some(format!(
        "no real clusters, for the Docker engine can't be used ({failure})"
    ))
}

fn kind(options: ProviderOptions, reason: Option<String>) -> Result<Chosen, ProviderError> {
    let provider = KindProvider::new(KindOptions {
        state: options.state,
        runner: options.runner,
        images: options.images,
        base: options.base,
        tuned: options.tuned,
        reuse: options.reuse,
        prefix: options.prefix,
        clock: options.clock,
    })?;
    Ok(Chosen {
        provider: Arc::new(provider),
        reason,
    })
}

fn existing(options: ProviderOptions) -> Result<Chosen, ProviderError> {
    let provider = ExistingProvider::new(&ExistingOptions {
        existing: options.existing,
        images: options.images,
        base: options.base,
        state: options.state,
    })?;
    let reason = Some(provider.place());
    Ok(Chosen {
        provider: Arc::new(provider),
        reason,
    })
}

fn local(options: ProviderOptions, reason: Option<String>) -> Result<Chosen, ProviderError> {
    let ProviderOptions {
        runner,
        base,
        images,
        ..
    } = options;
    for (role, program) in [("agent", &images.agent), ("mock", &images.mock)] {
        if program.image != ImageSource::Reference && program.binary.is_none() {
            return Err(ProviderError::NoBinary { role, reason });
        }
    }
    // Each process has a working folder of its own.
    let binary = |program: SystemUnderTest| program.binary.map(|path| absolute(base.join(path)));
    let programs = Programs {
        runner,
        agent: binary(images.agent),
        mock: binary(images.mock),
    };
    Ok(Chosen {
        provider: Arc::new(LocalProvider::new(programs)),
        reason,
    })
}
