//! The two sides that a stream is delivered to: the Central API and the local endpoint.

use std::sync::Arc;

use super::Kind;
use super::buffer::Batch;
use crate::agent::Node;
use crate::api::ApiError;
use crate::local::{LocalError, LocalSide};

/// The destination of a buffer.
pub(crate) enum Side {
    /// The Central API.
    Platform {
        /// The kind of entries.
        kind: Kind,
        /// The sender.
        node: Arc<Node>,
    },
    /// The stream's local endpoint.
    Local {
        /// The kind of entries.
        kind: Kind,
        /// The endpoint.
        local: LocalSide,
    },
}

/// A batch was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// Happens only at the shutdown of a process that never got an identity.
    #[error("the node is not registered")]
    NotRegistered,
    /// The Central API returned an error.
    #[error("the platform did not accept the batch")]
    Platform(#[from] ApiError),
    /// The local endpoint returned an error, or there is no token for it.
    #[error("the local endpoint did not accept the batch")]
    Local(#[from] LocalError),
}

impl Side {
    /// The name for log lines.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Platform {
                kind: Kind::Metrics,
                ..
            } => "delivery of metrics to the platform",
            Self::Platform {
                kind: Kind::Logs, ..
            } => "delivery of logs to the platform",
            Self::Platform {
                kind: Kind::Audit, ..
            } => "delivery of audit entries to the platform",
            Self::Local {
                kind: Kind::Metrics,
                ..
            } => "delivery of metrics to the local endpoint",
            Self::Local {
                kind: Kind::Logs, ..
            } => "delivery of logs to the local endpoint",
            Self::Local {
                kind: Kind::Audit, ..
            } => "delivery of audit entries to the local endpoint",
        }
    }

    /// Posts a batch. A success is the acknowledgement.
    pub(crate) async fn post(&self, batch: &Batch) -> Result<(), PostError> {
        match self {
            Self::Platform { kind, node } => {
                let identity = node.registrar.known().ok_or(PostError::NotRegistered)?;
                Ok(node
                    .api
                    .entries(&identity, kind.name(), batch.body())
                    .await?)
            }
            Self::Local { local, .. } => Ok(local.post(batch.body()).await?),
        }
    }
}
