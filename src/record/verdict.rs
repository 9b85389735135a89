//! Computes the verdict on a cell from how its attempts ended. All functions are pure.

use crate::event::{CellEnd, CellVerdict};

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CellResult {
    /// The cell was not started.
    Skipped {
        /// Why it was not started.
        reason: String,
        /// Whether it can't run here. Otherwise, the run ended early.
        cannot_run: bool,
    },
    /// The cell was started.
    Tried {
        /// How the attempts before the last one ended, in order.
        earlier: Vec<CellEnd>,
        /// How the last attempt ended. An attempt that was due and never started counts as interrupted.
        last: CellEnd,
    },
}

impl CellResult {
    /// The verdict on the cell, which is the verdict on its last attempt.
    pub(crate) fn verdict(&self) -> CellVerdict {
        match self {
            Self::Skipped { .. } => CellVerdict::Skipped,
            Self::Tried { earlier, last } => match of_attempt(last) {
                CellVerdict::Passed if !earlier.is_empty() => CellVerdict::Flaky,
                verdict => verdict,
            },
        }
    }

    /// The reason, if the cell didn't pass.
    pub(crate) fn reason(&self) -> Option<String> {
        let (earlier, last) = match self {
            Self::Skipped { reason, .. } => return Some(reason.clone()),
            Self::Tried { earlier, last } => (earlier, last),
        };
        let failed = earlier.iter().enumerate().rev().find_map(|(index, end)| {
            let failure = end.failures.first()?;
            Some(format!("attempt {}: {failure}", index + 1))
        });
        match self.verdict() {
            CellVerdict::Interrupted => {
                let cut = "the run was interrupted".to_owned();
                Some(failed.map_or(cut.clone(), |failed| format!("{cut}; {failed}")))
            }
            CellVerdict::Flaky => failed,
            CellVerdict::Passed
            | CellVerdict::Failed
            | CellVerdict::Error
            | CellVerdict::Skipped => reason_of_attempt(last),
        }
    }
}

/// The verdict on one attempt: an interruption doesn't hide an earlier failure.
pub(crate) fn of_attempt(end: &CellEnd) -> CellVerdict {
    match end.failures.first() {
        Some(first) => CellVerdict::of_class(first.class()),
        None if end.interrupted => CellVerdict::Interrupted,
        None => CellVerdict::Passed,
    }
}

/// Why an attempt failed; `None` if it didn't.
pub(crate) fn reason_of_attempt(end: &CellEnd) -> Option<String> {
    end.failures.first().map(|failure| failure.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, Symptom};

    fn end(symptoms: &[Symptom]) -> CellEnd {
        let failures = symptoms
            .iter()
            .map(|symptom| Failure::new(*symptom, "x"))
            .collect();
        CellEnd {
            failures,
            ..CellEnd::default()
        }
    }

    #[test]
    fn a_failed_cleanup_does_not_hide_a_product_failure() {
        let both = end(&[Symptom::CounterNotMet, Symptom::CleanupIncomplete]);
        assert_eq!(of_attempt(&both), CellVerdict::Failed);
    }

    #[test]
    fn a_cell_that_passes_on_a_retry_is_flaky_and_names_the_earlier_failure() {
        let flaky = CellResult::Tried {
            earlier: vec![end(&[Symptom::EngineGone]), end(&[Symptom::CounterNotMet])],
            last: end(&[]),
        };
        assert_eq!(flaky.verdict(), CellVerdict::Flaky);
        assert_eq!(flaky.reason().as_deref(), Some("attempt 2: x"));
    }

    #[test]
    fn only_the_last_attempt_counts_unless_it_was_cut_off() {
        let after_product_failure = |last| CellResult::Tried {
            earlier: vec![end(&[Symptom::CounterNotMet])],
            last,
        };
        let better = after_product_failure(end(&[Symptom::EngineGone]));
        assert_eq!(better.verdict(), CellVerdict::Error);
        let cut_off = after_product_failure(CellEnd {
            interrupted: true,
            ..CellEnd::default()
        });
        assert_eq!(cut_off.verdict(), CellVerdict::Interrupted);
        let reason = cut_off.reason().unwrap();
        assert!(reason.ends_with("attempt 1: x"), "{reason}");
    }

    #[test]
    fn the_reason_of_an_attempt_is_its_first_failure() {
        let mut failed = end(&[Symptom::CounterNotMet, Symptom::CleanupIncomplete]);
        failed.failures[0].message = "audit_count is 0".to_owned();
        let reason = reason_of_attempt(&failed);
        assert_eq!(reason.as_deref(), Some("audit_count is 0"));
        assert_eq!(reason_of_attempt(&end(&[])), None);
    }
}
