//! Phase 2: the cell's cluster is up, with the requested version and nodes.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::Cluster);
    let evidence = context.cluster.up(&deadline).await?;
    context.emit_facts();
    Ok(evidence.into())
}
