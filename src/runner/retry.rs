//! Whether a cell is retried, as a pure function, and the delays between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::event::{CellEnd, Failure, FailureClass, Symptom};
use crate::matrix::{MAX_BACKOFF, Phase, PhaseSettings, RetryClass, RetrySettings};

/// Whether another attempt follows the one that ended with `last`, after the `earlier` attempts.
///
/// A retry is allowed if at least one of two limits isn't reached: the run's retries, which apply to all phases, or the
/// retries of the phase in which the attempt failed.
///
/// Infrastructure failures in `cluster` and `images` can always be retried, other failures only if the settings name
/// their class. An attempt is never retried if a fresh cluster would not change the result, if some of its resources
/// may be left, or if it was interrupted.
pub(super) fn should_retry(
    settings: &RetrySettings,
    phases: &PhaseSettings,
    earlier: &[CellEnd],
    last: &CellEnd,
) -> bool {
    let (Some(first), Some(phase)) = (last.failures.first(), last.failed_in) else {
        return false;
    };
    if is_final(last, phase) || settings.retries == Some(0) {
        return false;
    }
    let Some(class) = retry_class(first.class()) else {
        return false;
    };
    let is_named = settings.on.contains(&class);
    let is_machines = class == RetryClass::Infrastructure && is_the_machines(phase);
    let by_run = is_named && has_room(earlier.len(), settings.retries.unwrap_or(0));
    let in_phase = earlier.iter().filter(|end| end.failed_in == Some(phase));
    let by_phase = (is_named || is_machines) && has_room(in_phase.count(), phases[phase].retries);
    by_run || by_phase
}

/// Whether a retry can't help or isn't allowed after `end`.
fn is_final(end: &CellEnd, phase: Phase) -> bool {
    let is_bug = |failure: &Failure| failure.symptom == Symptom::RunnerBug;
    end.interrupted
        || end.left_behind
        || phase == Phase::Preflight
        || end.failures.iter().any(is_bug)
}

fn retry_class(class: FailureClass) -> Option<RetryClass> {
    match class {
        FailureClass::Product => Some(RetryClass::Product),
        FailureClass::Infrastructure => Some(RetryClass::Infrastructure),
        FailureClass::Configuration => None,
    }
}

/// The phases that don't involve the product.
fn is_the_machines(phase: Phase) -> bool {
    matches!(phase, Phase::Cluster | Phase::Images)
}

/// Whether a further retry is allowed after `earlier` attempts and the one that just failed.
fn has_room(earlier: usize, retries: u32) -> bool {
    usize::try_from(retries).is_ok_and(|retries| earlier < retries)
}

/// The delays between a cell's attempts: each about twice the previous one, with jitter, up to [`MAX_BACKOFF`] or to
/// the first delay if that is longer.
pub(super) fn delays(settings: &RetrySettings) -> impl Iterator<Item = Duration> + Send + use<> {
    let longest = MAX_BACKOFF.max(settings.backoff);
    ExponentialBuilder::new()
        .with_min_delay(settings.backoff)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(rand::random())
        .build()
        // The jitter is added after the builder's limit.
        .map(move |delay| delay.min(longest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The end of an attempt, given by its first failure.
    fn end(symptom: Symptom, phase: Phase) -> CellEnd {
        CellEnd {
            failures: vec![Failure::new(symptom, "x")],
            failed_in: Some(phase),
            left_behind: phase == Phase::Cleanup,
            interrupted: false,
        }
    }

    /// The first failure of an attempt, and its phase.
    type Fault = (Symptom, Phase);

    /// Whether a retry follows attempts that ended with these failures.
    fn decide(settings: &RetrySettings, phases: &PhaseSettings, failures: &[Fault]) -> bool {
        let ends = failures.iter().map(|(what, at)| end(*what, *at));
        let mut attempts: Vec<CellEnd> = ends.collect();
        let last = attempts.pop().unwrap();
        should_retry(settings, phases, &attempts, &last)
    }

    fn settings(retries: Option<u32>, on: &[RetryClass]) -> RetrySettings {
        RetrySettings {
            retries,
            on: on.iter().copied().collect(),
            ..RetrySettings::default()
        }
    }

    const PRODUCT: Fault = (Symptom::CounterNotMet, Phase::Assertions);
    const ENGINE: Fault = (Symptom::EngineGone, Phase::Readiness);
    const CLUSTER: Fault = (Symptom::ClusterNotUp, Phase::Cluster);
    const IMAGES: Fault = (Symptom::ImageLoadFailed, Phase::Images);
    const BOTH: [RetryClass; 2] = [RetryClass::Product, RetryClass::Infrastructure];
    const MACHINE: [RetryClass; 1] = [RetryClass::Infrastructure];

    /// The attempts so far, and whether a retry follows.
    type Row<'r> = (Option<u32>, &'r [RetryClass], &'r [Fault], bool);

    #[test]
    fn the_documented_policy_row_by_row() {
        let rows: &[Row<'_>] = &[
            // By default: one retry after an infrastructure failure in `cluster` and in `images`, and no others.
            (None, &MACHINE, &[CLUSTER], true),
            (None, &MACHINE, &[CLUSTER, CLUSTER], false),
            (None, &MACHINE, &[CLUSTER, IMAGES], true),
            (None, &MACHINE, &[CLUSTER, IMAGES, CLUSTER], false),
            (None, &MACHINE, &[ENGINE], false),
            (None, &MACHINE, &[PRODUCT], false),
            // These retries don't need a named class, and only an explicit `0` turns them off.
            (None, &[], &[CLUSTER], true),
            (Some(0), &MACHINE, &[CLUSTER], false),
            // The run's retries apply to the named classes.
            (Some(1), &MACHINE, &[ENGINE], true),
            (Some(1), &MACHINE, &[ENGINE, ENGINE], false),
            (Some(2), &MACHINE, &[ENGINE, ENGINE], true),
            (Some(3), &MACHINE, &[PRODUCT], false),
            (Some(3), &BOTH, &[PRODUCT], true),
            (Some(3), &BOTH, &[PRODUCT, ENGINE, PRODUCT, ENGINE], false),
            // A retry is allowed if either limit allows it: the run's or the phase's.
            (Some(1), &MACHINE, &[ENGINE, CLUSTER], true),
        ];
        for (retries, on, failures, expected) in rows {
            let settings = settings(*retries, on);
            let decided = decide(&settings, &PhaseSettings::default(), failures);
            assert_eq!(decided, *expected, "{retries:?} {on:?} {failures:?}");
        }
    }

    #[test]
    fn failures_that_would_be_the_same_on_a_fresh_cluster_are_never_retried() {
        let settings = settings(Some(9), &BOTH);
        for failure in [
            (Symptom::ObjectRefused, Phase::Manifests),
            (Symptom::ObjectRefused, Phase::Cluster),
            (Symptom::MachineTooSmall, Phase::Preflight),
            (Symptom::RunnerBug, Phase::Periodic),
            (Symptom::CleanupIncomplete, Phase::Cleanup),
        ] {
            let is_retried = decide(&settings, &PhaseSettings::default(), &[failure]);
            assert!(!is_retried, "{failure:?}");
        }
    }

    #[test]
    fn retries_of_a_phase_apply_to_the_named_classes() {
        let mut phases = PhaseSettings::default();
        phases[Phase::Readiness].retries = 2;
        phases[Phase::Assertions].retries = 1;
        phases[Phase::Cluster].retries = 0;
        let decide = |failures: &[Fault]| decide(&RetrySettings::default(), &phases, failures);
        assert!(decide(&[ENGINE, ENGINE]));
        assert!(!decide(&[ENGINE, ENGINE, ENGINE]));
        assert!(!decide(&[PRODUCT]), "its class is not named");
        assert!(!decide(&[CLUSTER]), "the file says 0");
    }

    #[test]
    fn an_attempt_that_was_cut_off_or_left_something_behind_is_not_retried() {
        let settings = settings(Some(9), &BOTH);
        let is_retried = |interrupted, left_behind| {
            let last = CellEnd {
                left_behind,
                interrupted,
                ..end(PRODUCT.0, PRODUCT.1)
            };
            should_retry(&settings, &PhaseSettings::default(), &[], &last)
        };
        assert!(is_retried(false, false));
        assert!(!is_retried(true, false));
        assert!(!is_retried(false, true));
    }

    #[test]
    fn delays_grow_to_their_limit_with_jitter() {
        let settings = RetrySettings {
            backoff: Duration::from_secs(4),
            ..RetrySettings::default()
        };
        let first: Vec<Duration> = delays(&settings).take(8).collect();
        assert!(first[0] >= settings.backoff && first[0] < settings.backoff * 2);
        assert!(first[1] >= settings.backoff * 2);
        assert!(first.iter().all(|delay| *delay <= MAX_BACKOFF));
        assert_eq!(first[7], MAX_BACKOFF);
        let others: BTreeSet<Duration> = (0..20).filter_map(|_| delays(&settings).next()).collect();
        assert!(others.len() > 1, "{others:?}");
    }

    #[test]
    fn a_first_delay_above_the_limit_is_kept() {
        let settings = RetrySettings {
            backoff: MAX_BACKOFF * 5,
            ..RetrySettings::default()
        };
        let delays: Vec<Duration> = delays(&settings).take(2).collect();
        assert_eq!(delays, [settings.backoff; 2]);
    }
}
