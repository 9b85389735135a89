//! Phase 3: each node has the images of the agent and the mock, unchanged.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::Images);
    Ok(context.cluster.images(&deadline).await?.into())
}
