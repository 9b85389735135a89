//! Phase 5: the mock is available, and an agent is ready on every node.

use crate::matrix::Phase;
use crate::suite::context::{Checked, Context, Outcome};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let agents = context.deadline(Phase::Readiness);
    let mock = context
        .plan
        .clock
        .deadline(context.plan.phases.mock_timeout);
    // Both waits run concurrently, so that a permanent failure of one is reported immediately.
    let (mut evidence, ready) = tokio::try_join!(
        context.cluster.mock_available(&mock),
        context.cluster.agents_ready(&agents),
    )?;
    evidence.extend(ready);
    Ok(Checked {
        evidence,
        warnings: context.cluster.early_ends(),
        ..Checked::default()
    })
}
