//! What becomes of a cell's place after its last phase. Pure.

use crate::event::CellEnd;
use crate::event::FailureClass;
use crate::matrix::Keep;

/// What becomes of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It goes.
    Destroy,
    /// It goes, but for what the next cell can use.
    HandOver,
    /// It stays, for this reason.
    Keep(&'static str),
}

/// What becomes of the place of a cell that ended so. Whoever interrupts a run wants to be rid of it, and a place whose machinery
/// failed is not trusted with another cell.
pub(super) fn leaving(keep: Keep, end: &CellEnd) -> Leaving {
    if end.interrupted {
        return Leaving::Destroy;
    }
    match keep {
        Keep::Always => return Leaving::Keep("kept: --keep always"),
        Keep::Failed if !end.failures.is_empty() => return Leaving::Keep("kept: --keep failed"),
        Keep::Failed | Keep::Never => {}
    }
    let mut classes = end.failures.iter().map(crate::event::Failure::class);
    if classes.any(|class| class == FailureClass::Infrastructure) {
        Leaving::Destroy
    } else {
        Leaving::HandOver
    }
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
    fn only_red_cells_are_kept_for_being_red() {
        let (green, red) = (end(None), end(Some(Symptom::CounterNotMet)));
        let broken = end(Some(Symptom::EngineGone));
        assert_eq!(leaving(Keep::Failed, &green), Leaving::HandOver);
        for red in [&red, &broken] {
            assert_eq!(
                leaving(Keep::Failed, red),
                Leaving::Keep("kept: --keep failed")
            );
        }
        assert_eq!(
            leaving(Keep::Always, &green),
            Leaving::Keep("kept: --keep always")
        );
    }

    #[test]
    fn an_interrupted_cell_leaves_nothing_and_a_broken_place_is_not_handed_over() {
        let mut interrupted = end(Some(Symptom::CounterNotMet));
        interrupted.interrupted = true;
        for keep in [Keep::Never, Keep::Failed, Keep::Always] {
            assert_eq!(leaving(keep, &interrupted), Leaving::Destroy);
        }
        let broken = end(Some(Symptom::EngineGone));
        assert_eq!(leaving(Keep::Never, &broken), Leaving::Destroy);
        let red = end(Some(Symptom::CounterNotMet));
        assert_eq!(leaving(Keep::Never, &red), Leaving::HandOver);
    }
}
