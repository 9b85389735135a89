//! Where cells run, and when their clusters are deleted.

use std::path::PathBuf;

use clap::Args;

use super::choice::{Choice, one_of};
use crate::machine::absolute;
use crate::matrix::{Keep, Matrix, Prefix, PrefixError, Prepared, ProviderChoice};

/// Where cells run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clusters")]
pub(crate) struct ClusterOptions {
    /// Where cells run: auto, kind, local or existing
    ///
    /// Defaults to the value in the matrix file, or `auto`.
    #[arg(long, env = "E2E_MATRIX_PROVIDER", value_name = "PROVIDER", value_parser = one_of(&PROVIDERS))]
    pub(crate) provider: Option<ProviderChoice>,
    /// Keep clusters for debugging: failed (if WHEN is omitted), always or never
    ///
    /// Without this option, the matrix file decides; its default is `never`. `--keep` without WHEN means `failed`: the clusters of cells that did not pass are kept.
    #[arg(
        long,
        env = "E2E_MATRIX_KEEP",
        value_name = "WHEN",
        num_args = 0..=1,
        default_missing_value = "failed",
        value_parser = one_of(&KEEP)
    )]
    keep: Option<Keep>,
    /// Let cells that need the same cluster and agent image share a kind cluster
    ///
    /// The cells may differ in their config and on further axes, but not in Kubernetes version, node count, node image, kind's configuration, or the agent's image. They run one after another. Between two cells, the cluster is wiped and verified to be empty. A cluster that an earlier run kept with `--keep` is also wiped and reused.
    #[arg(long, env = "E2E_MATRIX_REUSE")]
    reuse: bool,
    /// Whether kind clusters may be cloned from prepared ones: auto or never
    ///
    /// `e2e-matrix prepare` prepares clusters. With `auto`, a run clones them, and prepares a missing one if at least three further cells that have not started yet could use it. A clone is verified before it is used. Defaults to the value in the matrix file, or `auto`.
    #[arg(
        long,
        env = "E2E_MATRIX_PREPARED",
        value_name = "WHEN",
        value_parser = one_of(&PREPARED),
        hide_short_help = true
    )]
    prepared: Option<Prepared>,
    /// Skip cells whose node image is neither local nor in its registry
    ///
    /// Without this option, a missing image ends the run with an infrastructure failure. Each report lists the skipped cells with the reason.
    #[arg(long, env = "E2E_MATRIX_SKIP_MISSING_IMAGES")]
    skip_missing_images: bool,
    /// The exact name of the cluster, for a run with a single cell
    #[arg(
        long,
        env = "E2E_MATRIX_CLUSTER_NAME",
        value_name = "NAME",
        hide_short_help = true
    )]
    pub(crate) cluster_name: Option<String>,
    /// The prefix of each cluster's name [default: from the matrix file, or `plexd-e2e`]
    #[arg(
        long,
        env = "E2E_MATRIX_CLUSTER_PREFIX",
        value_name = "PREFIX",
        hide_short_help = true
    )]
    cluster_prefix: Option<String>,
    /// The kubeconfig context, for the provider `existing`
    ///
    /// Defaults to the value in the matrix file, or the current context.
    #[arg(long, env = "E2E_MATRIX_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig file, for the provider `existing`; it is never modified
    ///
    /// Defaults to the value in the matrix file, or `$KUBECONFIG`, or `~/.kube/config`.
    #[arg(
        long,
        env = "E2E_MATRIX_KUBECONFIG",
        value_name = "FILE",
        hide_short_help = true
    )]
    kubeconfig: Option<PathBuf>,
}

/// The values of `--provider`.
pub(super) const PROVIDERS: [Choice<ProviderChoice>; 4] = [
    (
        "auto",
        ProviderChoice::Auto,
        "`kind` if Docker responds and kind is on the PATH, otherwise `local`",
    ),
    (
        "kind",
        ProviderChoice::Kind,
        "Real clusters, created with kind",
    ),
    (
        "local",
        ProviderChoice::Local,
        "Plain processes on this machine",
    ),
    (
        "existing",
        ProviderChoice::Existing,
        "An existing cluster: one namespace per cell, one cell at a time",
    ),
];

/// When to keep a cell's cluster.
const KEEP: [Choice<Keep>; 3] = [
    ("never", Keep::Never, "Never"),
    ("failed", Keep::Failed, "If the cell did not pass"),
    ("always", Keep::Always, "Always"),
];

/// Whether kind clusters may be cloned from prepared ones.
const PREPARED: [Choice<Prepared>; 2] = [
    (
        "auto",
        Prepared::Auto,
        "If a template exists, or if creating one pays off within the run",
    ),
    ("never", Prepared::Never, "Never: kind creates each cluster"),
];

impl ClusterOptions {
    /// Overrides the settings of the matrix file.
    pub(crate) fn apply(&self, matrix: &mut Matrix) -> Result<(), PrefixError> {
        if let Some(provider) = self.provider {
            matrix.run.provider = provider;
        }
        if let Some(prefix) = &self.cluster_prefix {
            matrix.run.prefix = Prefix::parse(prefix)?;
        }
        if let Some(context) = &self.context {
            matrix.existing.context = Some(context.clone());
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            // Paths in the matrix file are relative to the folder of that file; this path is relative to the current
            // folder.
            matrix.existing.kubeconfig = Some(absolute(kubeconfig.clone()));
        }
        if let Some(keep) = self.keep {
            matrix.run.keep = keep;
        }
        if let Some(prepared) = self.prepared {
            matrix.run.prepared = prepared;
        }
        matrix.run.reuse |= self.reuse;
        matrix.run.skip_missing_images |= self.skip_missing_images;
        Ok(())
    }
}
