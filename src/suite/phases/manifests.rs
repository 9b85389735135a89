//! Phase 4: all objects are applied, in an order that clusters accept.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::Manifests);
    Ok(context.cluster.manifests(&deadline).await?.into())
}
