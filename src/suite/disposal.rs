//! Whether a cell's cluster is deleted, handed over or kept after its last phase. All functions are pure.

use crate::event::{CellEnd, Failure, FailureClass};
use crate::matrix::Keep;

/// What cleanup does with a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposal {
    /// Delete it.
    Delete,
    /// Delete it, except for the parts that the next cell can use.
    HandOver,
    /// Keep it, for this reason.
    Keep(&'static str),
}

/// What cleanup does with the cluster of a cell that ended with `end`. After an interruption, the cluster is deleted.
/// After an infrastructure failure, it isn't handed over to another cell.
pub(super) fn disposal(keep: Keep, end: &CellEnd) -> Disposal {
    if end.interrupted {
        return Disposal::Delete;
    }
    match keep {
        Keep::Always => return Disposal::Keep("kept: --keep always"),
        Keep::Failed if !end.failures.is_empty() => return Disposal::Keep("kept: --keep failed"),
        Keep::Failed | Keep::Never => {}
    }
    if is_sound(end) {
        Disposal::HandOver
    } else {
        Disposal::Delete
    }
}

/// Whether another cell may use the cluster of a cell that ended with `end`.
pub(super) fn is_sound(end: &CellEnd) -> bool {
    let mut classes = end.failures.iter().map(Failure::class);
    !classes.any(|class| class == FailureClass::Infrastructure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Symptom;

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
    fn keep_failed_keeps_only_failed_cells() {
        let (green, failed) = (end(None), end(Some(Symptom::CounterNotMet)));
        let error = end(Some(Symptom::EngineGone));
        assert_eq!(disposal(Keep::Failed, &green), Disposal::HandOver);
        for failed in [&failed, &error] {
            assert_eq!(
                disposal(Keep::Failed, failed),
                Disposal::Keep("kept: --keep failed")
            );
        }
        assert_eq!(
            disposal(Keep::Always, &green),
            Disposal::Keep("kept: --keep always")
        );
    }

    #[test]
    fn an_interrupted_cell_is_deleted_and_a_broken_cluster_is_not_handed_over() {
        let mut interrupted = end(Some(Symptom::CounterNotMet));
        interrupted.interrupted = true;
        for keep in [Keep::Never, Keep::Failed, Keep::Always] {
            assert_eq!(disposal(keep, &interrupted), Disposal::Delete);
        }
        let error = end(Some(Symptom::EngineGone));
        assert_eq!(disposal(Keep::Never, &error), Disposal::Delete);
        let failed = end(Some(Symptom::CounterNotMet));
        assert_eq!(disposal(Keep::Never, &failed), Disposal::HandOver);
    }
}
