//! Where cells run, and when their clusters are deleted.

use std::path::PathBuf;

use clap::Args;

use super::choice::one_of;
use crate::cluster::ClusterName;
use crate::machine::absolute;
use crate::matrix::{Keep, Matrix, Prefix, Prepared, ProviderChoice};

/// Where cells run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clusters")]
pub(crate) struct ClusterOptions {
    /// Where cells run: auto, kind, local or existing
    ///
    /// Defaults to the value in the matrix file, or `auto`.
    #[arg(long, env = "E2E_MATRIX_PROVIDER", value_name = "PROVIDER", value_parser = one_of(&PROVIDERS, ProviderChoice::name))]
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
        value_parser = one_of(&KEEP, Keep::name)
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
        value_parser = one_of(&PREPARED, Prepared::name),
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
        value_parser = ClusterName::exactly,
        hide_short_help = true
    )]
    pub(crate) cluster_name: Option<ClusterName>,
    /// The prefix of each cluster's name [default: from the matrix file, or `plexd-e2e`]
    #[arg(
        long,
        env = "E2E_MATRIX_CLUSTER_PREFIX",
        value_name = "PREFIX",
        value_parser = Prefix::parse,
        hide_short_help = true
    )]
    cluster_prefix: Option<Prefix>,
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
pub(super) const PROVIDERS: [(ProviderChoice, &str); 4] = [
    (
        ProviderChoice::Auto,
        "`kind` if Docker responds and kind is on the PATH, otherwise `local`",
    ),
    (ProviderChoice::Kind, "Real clusters, created with kind"),
    (ProviderChoice::Local, "Plain processes on this machine"),
    (
        ProviderChoice::Existing,
        "An existing cluster: one namespace per cell, one cell at a time",
    ),
];

/// When to keep a cell's cluster.
const KEEP: [(Keep, &str); 3] = [
    (Keep::Never, "Never"),
    (Keep::Failed, "If the cell did not pass"),
    (Keep::Always, "Always"),
];

/// Whether kind clusters may be cloned from prepared ones.
const PREPARED: [(Prepared, &str); 2] = [
    (
        Prepared::Auto,
        "If a template exists, or if creating one pays off within the run",
    ),
    (Prepared::Never, "Never: kind creates each cluster"),
];

impl ClusterOptions {
    /// Overrides the settings of the matrix file.
    pub(crate) fn apply(&self, matrix: &mut Matrix) {
        let run = &mut matrix.run;
        run.provider = self.provider.unwrap_or(run.provider);
        run.keep = self.keep.unwrap_or(run.keep);
        run.prepared = self.prepared.unwrap_or(run.prepared);
        run.reuse |= self.reuse;
        run.skip_missing_images |= self.skip_missing_images;
        if let Some(prefix) = &self.cluster_prefix {
            run.prefix = prefix.clone();
        }
        if let Some(context) = &self.context {
            matrix.existing.context = Some(context.clone());
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            // Paths in the matrix file are relative to the folder of that file; this path is relative to the current
            // folder.
            matrix.existing.kubeconfig = Some(absolute(kubeconfig.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::ClusterOptions;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        _clusters: ClusterOptions,
    }

    #[test]
    fn the_error_for_an_invalid_name_or_prefix_names_the_option() {
        for option in ["--cluster-name", "--cluster-prefix"] {
            let arguments = Arguments::try_parse_from(["e2e-matrix", option, "E2E_"]);
            let error = arguments.unwrap_err().to_string();
            let expected = format!("invalid value 'E2E_' for '{option} <");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
