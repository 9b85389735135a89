//! Phase 10: the local endpoint is served on every node, with a token that the agent decrypted. The last check of a cell:
//! the counters that are expected exactly must still hold, and the agents must be well.

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
    let mut checked = counters::reach(context, Phase::LocalEndpoint, &requirements).await?;
    let deadline = context.deadline(Phase::LocalEndpoint);
    checked
        .warnings
        .extend(context.cluster.last_look(&deadline).await?);
    Ok(checked)
}
