//! Waits until counters meet requirements. Shared by several phases.

use crate::event::Symptom;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations::{self, Comparison, Requirement};
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
        Comparison::Met(evidence) => Progress::Done(evidence.into()),
        Comparison::Unmet(unmet) => Progress::waiting(Symptom::CounterNotMet, unmet),
        Comparison::Impossible(failure) => Progress::Failed(failure),
    })
    .await
}
