//! Phase 11: nothing of the cell is left. Runs even after a failure, timeout, interruption or panic, with its own
//! timeout.

use crate::event::Event;
use crate::matrix::Phase;
use crate::suite::context::{Checked, Context, Outcome};

/// Deletes the cluster; with `hand_over`, except for the parts that the next cell can use.
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

/// Keeps the cluster, and reports how to inspect it. With `is_sound`, a later run may reuse it.
pub(crate) async fn keep(context: &mut Context, is_sound: bool) -> Outcome {
    context.mock = None;
    let deadline = context.deadline(Phase::Cleanup);
    let commands = context.cluster.keep(is_sound, &deadline).await?;
    context.events.emit(Event::CellKept {
        cell: context.plan.cell.id.clone(),
        commands,
    });
    Ok(Checked::default())
}
