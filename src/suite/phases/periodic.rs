//! Phase 8: the agents repeat their periodic calls.

use super::counters;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let requirements = expectations::periodic(&context.plan.cell.variant.expect);
    counters::reach(context, Phase::Periodic, &requirements).await
}
