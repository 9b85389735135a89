//! Phase 10: the local endpoint is served on every node, with a token that the agent decrypted. The last look at the counters: what is expected
//! exactly must still hold.

use super::counters;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let expect = &context.plan.cell.variant.expect;
    let mut requirements = expectations::local(expect);
    for requirement in expectations::exact(expect) {
        if !requirements.contains(&requirement) {
            requirements.push(requirement);
        }
    }
    counters::reach(context, Phase::LocalEndpoint, &requirements).await
}
