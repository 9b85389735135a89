//! Phase 4: every object is applied, in the order that clusters need.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::Manifests);
    Ok(context.cluster.manifests(&deadline).await?.into())
}
