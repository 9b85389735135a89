//! Phase 11: nothing of the cell is left. Runs after failure, time-out, cancellation and panic alike, with a budget of its own.

use crate::event::Event;
use crate::matrix::Phase;
use crate::suite::context::{Checked, Context, Outcome};

/// `hand_over`: what the next cell can use may stay.
pub(crate) async fn run(context: &mut Context, hand_over: bool) -> Outcome {
    context.mock = None;
    let deadline = context.deadline(Phase::Cleanup);
    let cleared = if hand_over {
        context.cluster.hand_over(&deadline).await?
    } else {
        context.cluster.destroy(&deadline).await?
    };
    Ok(cleared.into())
}

/// Leaves everything as it is, and says how to look inside.
pub(crate) async fn keep(context: &mut Context) -> Outcome {
    context.mock = None;
    let deadline = context.deadline(Phase::Cleanup);
    let commands = context.cluster.keep(&deadline).await?;
    context.events.emit(Event::CellKept {
        cell: context.plan.cell.id.clone(),
        commands,
    });
    Ok(Checked::default())
}
