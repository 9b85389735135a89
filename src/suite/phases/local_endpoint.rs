//! Phase 10: every agent posts to the local endpoint, with a token that it decrypted itself.

use super::counters;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let requirements = expectations::local(&context.plan.cell.variant.expect);
    counters::reach(context, Phase::LocalEndpoint, &requirements).await
}
