//! Phase 11: nothing of the cell is left. Runs even after a failure, timeout, interruption or panic, with its own
//! timeout.

use crate::cluster::Cleared;
use crate::event::Event;
use crate::matrix::Phase;
use crate::suite::context::{Context, Outcome};
use crate::suite::disposal::Disposal;

/// Deletes the cluster, hands it over, or keeps it and reports how to inspect it. If `is_sound` is set, a later run may
/// reuse a kept cluster.
pub(crate) async fn run(context: &mut Context, disposal: Disposal, is_sound: bool) -> Outcome {
    context.mock = None;
    let deadline = context.deadline(Phase::Cleanup);
    let cleared = match disposal {
        Disposal::Delete => context.cluster.destroy(&deadline).await?,
        Disposal::HandOver => context.cluster.hand_over(&deadline).await?,
        Disposal::Keep(_) => {
            let commands = context.cluster.keep(is_sound, &deadline).await?;
            context.emit(|cell| Event::CellKept { cell, commands });
            Cleared::default()
        }
    };
    Ok(cleared.into())
}
