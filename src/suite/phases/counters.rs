//! Shared by several phases: waiting until counters meet requirements.

use crate::event::Symptom;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations::{self, Requirement, Standing};
use crate::suite::wait::{self, Progress};

/// Waits until every requirement of `phase` holds.
pub(crate) async fn reach(
    context: &Context,
    phase: Phase,
    requirements: &[Requirement<'_>],
) -> Outcome {
    let deadline = context.deadline(phase);
    let nodes = context.nodes();
    wait::until(context, phase, &deadline, |view| match expectations::check(
        view,
        &nodes,
        requirements,
    ) {
        Standing::Met(evidence) => Progress::Done(evidence.into()),
        Standing::Open(open) => Progress::waiting(Symptom::CounterNotMet, open),
        Standing::Never(failure) => Progress::Failed(failure),
    })
    .await
}
