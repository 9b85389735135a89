//! Waits until counters meet requirements. Several phases use this module.

use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations::{self, Requirement};
use crate::suite::mock::View;
use crate::suite::wait;

/// Waits until every requirement of `phase` holds.
pub(crate) async fn reach(
    context: &Context,
    phase: Phase,
    requirements: &[Requirement<'_>],
) -> Outcome {
    let deadline = context.deadline(phase);
    let nodes = context.nodes();
    let condition = |view: &View| expectations::check(view, &nodes, requirements);
    let evidence = wait::until(context, phase, &deadline, condition).await?;
    Ok(evidence.into())
}
