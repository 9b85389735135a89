//! Where cells run in detail, and what becomes of their places.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::machine::absolute;
use crate::matrix::{self, Matrix};

/// Places of cells.
#[derive(Debug, Args)]
pub(crate) struct PlaceOptions {
    /// The kubeconfig's context, for the provider `existing` [default: from the matrix file, or the
    /// current one]
    #[arg(long, env = "E2E_MATRIX_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig, for the provider `existing`; it is never written [default: from the matrix
    /// file, or `$KUBECONFIG` or `~/.kube/config`]
    #[arg(long, env = "E2E_MATRIX_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// When to keep a cell's cluster for debugging [default: from the matrix file, or `never`]
    #[arg(long, env = "E2E_MATRIX_KEEP", value_name = "WHEN")]
    keep: Option<Keep>,
    /// Lets cells that differ only in config share a kind cluster, one after another; it is wiped
    /// and verified in between
    #[arg(long, env = "E2E_MATRIX_REUSE")]
    reuse: bool,
}

/// When to keep a cell's cluster.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Keep {
    /// Never
    Never,
    /// If the cell did not pass
    Failed,
    /// Always
    Always,
}

impl From<Keep> for matrix::Keep {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Never => Self::Never,
            Keep::Failed => Self::Failed,
            Keep::Always => Self::Always,
        }
    }
}

impl PlaceOptions {
    /// Overrides the settings of the file.
    pub(crate) fn apply(&self, matrix: &mut Matrix) {
        if let Some(context) = &self.context {
            matrix.existing.context = Some(context.clone());
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            // Paths in the file are relative to it; this one is relative to the current folder.
            matrix.existing.kubeconfig = Some(absolute(kubeconfig.clone()));
        }
        if let Some(keep) = self.keep {
            matrix.run.keep = keep.into();
        }
        matrix.run.reuse |= self.reuse;
    }
}
