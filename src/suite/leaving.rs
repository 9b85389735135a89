//! What happens to a cell's cluster after its last phase. Pure.

use crate::event::CellEnd;
use crate::event::FailureClass;
use crate::matrix::Keep;

/// What happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is deleted.
    Destroy,
    /// It is deleted, except for what the next cell can use.
    HandOver,
    /// It is kept, for this reason.
    Keep(&'static str),
}

/// What happens to the cluster of a cell that ended like this. After an interruption it is deleted, and after an
/// infrastructure failure it isn't handed to another cell.
pub(super) fn leaving(keep: Keep, end: &CellEnd) -> Leaving {
    if end.interrupted {
        return Leaving::Destroy;
    }
    match keep {
        Keep::Always => return Leaving::Keep("kept: --keep always"),
        Keep::Failed if !end.failures.is_empty() => return Leaving::Keep("kept: --keep failed"),
        Keep::Failed | Keep::Never => {}
    }
    if is_sound(end) {
        Leaving::HandOver
    } else {
        Leaving::Destroy
    }
}

/// Whether another cell may use the cluster of a cell that ended like this.
pub(super) fn is_sound(end: &CellEnd) -> bool {
    let mut classes = end.failures.iter().map(crate::event::Failure::class);
    !classes.any(|class| class == FailureClass::Infrastructure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, Symptom};

    fn end(symptom: Option<Symptom>) -> CellEnd {
        CellEnd {
            failures: symptom
                .map(|symptom| Failure::new(symptom, "x"))
                .into_iter()
                .collect(),
            ..CellEnd::default()
        }
    }

    #[test]
    fn only_failed_cells_are_kept_if_failed_cells_are_to_be_kept() {
        let (green, failed) = (end(None), end(Some(Symptom::CounterNotMet)));
        let error = end(Some(Symptom::EngineGone));
        assert_eq!(leaving(Keep::Failed, &green), Leaving::HandOver);
        for failed in [&failed, &error] {
            assert_eq!(
                leaving(Keep::Failed, failed),
                Leaving::Keep("kept: --keep failed")
            );
        }
        assert_eq!(
            leaving(Keep::Always, &green),
            Leaving::Keep("kept: --keep always")
        );
    }

    #[test]
    fn an_interrupted_cell_is_deleted_and_a_broken_cluster_is_not_handed_over() {
        let mut interrupted = end(Some(Symptom::CounterNotMet));
        interrupted.interrupted = true;
        for keep in [Keep::Never, Keep::Failed, Keep::Always] {
            assert_eq!(leaving(keep, &interrupted), Leaving::Destroy);
        }
        let error = end(Some(Symptom::EngineGone));
        assert_eq!(leaving(Keep::Never, &error), Leaving::Destroy);
        let failed = end(Some(Symptom::CounterNotMet));
        assert_eq!(leaving(Keep::Never, &failed), Leaving::HandOver);
    }
}
