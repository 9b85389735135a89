//! Reporting the agent's capabilities, once per process.

use std::sync::Arc;

use crate::agent::Node;
use crate::api::ApiError;
use crate::fault::Fault;
use crate::retry::{never, until_done};
use crate::wire::{Action, Binary, Capabilities, Parameter};

/// The capabilities of every agent.
const ACTIONS: [Action; 2] = [
    Action {
        name: "ping",
        description: "Answers, to show that the agent is alive",
        parameters: &[],
    },
    Action {
        name: "reconcile",
        description: "Fetches the node's state and puts it into effect",
        parameters: &[Parameter {
            name: "reason",
            kind: "string",
            required: false,
        }],
    },
];

/// Makes one attempt to report the capabilities.
pub(crate) async fn report(node: &Node) -> Result<(), ApiError> {
    if node.faults.has(Fault::NoCapabilities) {
        return Ok(());
    }
    let actions = if node.faults.has(Fault::EmptyActions) {
        Vec::new()
    } else {
        Vec::from(ACTIONS)
    };
    let body = Capabilities {
        builtin_actions: actions,
        hooks: Vec::new(),
        binary: Binary {
            version: env!("CARGO_PKG_VERSION"),
        },
    };
    let identity = node.registrar.identity().await;
    node.api.capabilities(&identity, &body).await
}

/// Retries the report until it succeeds.
pub(crate) async fn report_until_acknowledged(node: Arc<Node>) {
    // Fails only when the process stops, and then the report no longer matters.
    drop(
        until_done("the report of capabilities", &node.stop, never, || {
            report(&node)
        })
        .await,
    );
}
