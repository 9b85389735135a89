//! Phase 10: the local endpoint is served on every node, with a token that the agent decrypted.

use super::counters;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let requirements = expectations::local(&context.plan.cell.variant.expect);
    counters::reach(context, Phase::LocalEndpoint, &requirements).await
}
