//! Chooses the provider, and explains the choice.

use std::sync::Arc;
use std::time::Duration;

use super::setup::{Workload, base};
use crate::cluster::existing::{ExistingOptions, ExistingProvider, ExistingReclaimer};
use crate::cluster::images;
use crate::cluster::kind::{KindOptions, KindProvider, KindReclaimer};
use crate::cluster::local::LocalProvider;
use crate::cluster::{HostReclaimer, Programs, Provider, Reclaim};
use crate::deadline::RunClock;
use crate::event::{Failure, Symptom};
use crate::machine::{StateFolder, absolute};
use crate::matrix::{Cell, ImageSource, ProviderChoice, SystemUnderTest};

/// How long the engine may take to respond.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// The chosen provider, and why `auto` chose it; for the provider `existing`, a description of the cluster.
pub(super) type Chosen = (Arc<dyn Provider>, Option<String>);

/// The reclaimers of all providers with entries in ledgers. A new provider has to be added here and in [`choose`].
pub(super) fn reclaimers(kind: &Arc<KindReclaimer>) -> [Arc<dyn Reclaim>; 3] {
    let kind = Arc::clone(kind);
    [Arc::new(HostReclaimer), kind, Arc::new(ExistingReclaimer)]
}

/// Creates the provider that `workload` asks for, and checks that it can run the agents of the cells.
pub(super) async fn choose(
    workload: &Workload,
    state: &StateFolder,
    clock: &RunClock,
) -> Result<Chosen, Failure> {
    match workload.matrix.run.provider {
        ProviderChoice::Kind => kind(workload, state, clock, None),
        ProviderChoice::Local => local(workload, None),
        ProviderChoice::Existing => existing(workload, state),
        ProviderChoice::Auto => match why_not_kind(clock).await {
            None => {
                let reason = "the container engine responds and `kind` is on the PATH".to_owned();
                kind(workload, state, clock, Some(reason))
            }
            Some(reason) => local(workload, Some(reason)),
        },
    }
}

/// Checks that each agent that `cells` set on an axis has an image.
fn have_images(cells: &[Cell]) -> Result<(), Failure> {
    let mut programs = cells
        .iter()
        .filter_map(|cell| cell.variant.program.as_ref());
    match programs.find(|program| program.image.is_none()) {
        None => Ok(()),
        Some(program) => {
            let table = &program.table;
            let message = format!("`{table}` has a `binary` but no `image`, which clusters need");
            let remedy = format!("add `image = \"…\"` to `{table}`, or use `--provider local`");
            Err(Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy))
        }
    }
}

/// Why real clusters aren't available, and what to install.
async fn why_not_kind(clock: &RunClock) -> Option<String> {
    if which::which("kind").is_err() {
        return Some(
            "real clusters aren't available: `kind` is not on the PATH; to use them, install Docker and kind (https://kind.sigs.k8s.io)".to_owned(),
        );
    }
    let deadline = clock.deadline(ENGINE_TIMEOUT);
    let failure = match deadline.run(images::connect()).await {
        Ok(Ok(_)) => return None,
        Ok(Err(failure)) => failure.to_string(),
        Err(timed_out) => format!("connecting to the container engine {timed_out}"),
    };
    Some(format!("real clusters aren't available: {failure}"))
}

fn kind(
    workload: &Workload,
    state: &StateFolder,
    clock: &RunClock,
    reason: Option<String>,
) -> Result<Chosen, Failure> {
    have_images(&workload.cells)?;
    let settings = &workload.matrix.run;
    let provider = KindProvider::new(KindOptions {
        state: state.clone(),
        runner: workload.runner.clone(),
        images: workload.matrix.images.clone(),
        base: base(&workload.path),
        fast_setup: settings.fast_setup,
        reuse: settings.reuse,
        prepared: settings.prepared,
        skip_missing_images: settings.skip_missing_images,
        prefix: settings.prefix.clone(),
        clock: clock.clone(),
    })?;
    Ok((Arc::new(provider), reason))
}

fn existing(workload: &Workload, state: &StateFolder) -> Result<Chosen, Failure> {
    have_images(&workload.cells)?;
    let options = ExistingOptions {
        existing: workload.matrix.existing.clone(),
        images: workload.matrix.images.clone(),
        base: base(&workload.path),
        state: state.clone(),
    };
    let provider = ExistingProvider::new(&options, &workload.cells)?;
    let reason = Some(provider.place());
    Ok((Arc::new(provider), reason))
}

fn local(workload: &Workload, reason: Option<String>) -> Result<Chosen, Failure> {
    let images = &workload.matrix.images;
    let agents = workload.cells.iter().map(|cell| {
        let own = cell.variant.program.as_ref();
        let table = own.map_or("[images.agent]", |program| &program.table);
        (table.to_owned(), images.agent_of(cell))
    });
    let mock = ("[images.mock]".to_owned(), images.mock.clone());
    for (table, program) in agents.chain([mock]) {
        if program.image != ImageSource::Reference && program.binary.is_none() {
            let why = reason.map_or_else(String::new, |reason| {
                format!(" (local was chosen because {reason})")
            });
            let message =
                format!("`{table}` sets an image, which the local provider can't run{why}");
            let remedy = format!("set `binary` under `{table}`, or use `--provider kind`");
            return Err(Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy));
        }
    }
    // The path has to be absolute, because each process has its own working directory.
    let base = absolute(base(&workload.path));
    let binary = |program: &SystemUnderTest| Some(base.join(program.binary.as_ref()?));
    let programs = Programs {
        runner: workload.runner.clone(),
        agent: binary(&images.agent),
        mock: binary(&images.mock),
        base,
    };
    Ok((Arc::new(LocalProvider::new(programs)), reason))
}
