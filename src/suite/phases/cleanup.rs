//! Phase 11: nothing of the cell is left. Runs after failure, time-out, cancellation and panic alike, with a budget of its own.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    context.mock = None;
    let deadline = context.deadline(Phase::Cleanup);
    Ok(context.cluster.destroy(&deadline).await?.into())
}
