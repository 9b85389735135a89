//! The verdict on a run as a pure function of its model, whether the run has just ended, was killed, resumed or merged.

use super::model::{CellModel, PhaseModel, RunModel};
use crate::event::{CellVerdict, FailureClass, FlakyResult, RunVerdict, Symptom, Termination};

/// The verdict on `run`, recomputed from its cells. If the run isn't whole, because it was killed or parts of it are
/// missing, it has an infrastructure failure unless a worse one is known.
pub fn verdict_of(run: &RunModel, is_whole: bool) -> RunVerdict {
    match verdict_of_whole(run) {
        RunVerdict::Passed | RunVerdict::NothingToDo if !is_whole => {
            RunVerdict::InfrastructureFailure
        }
        verdict => verdict,
    }
}

/// The class of the first failure that counts, in the order of the cells.
pub fn class_of(run: &RunModel) -> Option<FailureClass> {
    let mut counted = run.cells.iter().flat_map(failures);
    counted.next().map(Symptom::class)
}

/// The verdict by the first rule that applies. A signal takes precedence over everything; a run timeout doesn't hide a
/// failure.
fn verdict_of_whole(run: &RunModel) -> RunVerdict {
    let is_timed_out = match run.signal {
        Some(by @ (Termination::Interrupt | Termination::Terminate)) => {
            return RunVerdict::Interrupted { by };
        }
        Some(Termination::RunTimeout) => run.cells.iter().any(CellModel::is_cut_off),
        None => false,
    };
    let counted = || run.cells.iter().filter(|cell| !cell.summary.allow_failure);
    let is_bug = |symptom: Symptom| symptom == Symptom::RunnerBug;
    let has = |class| {
        let mut symptoms = counted().flat_map(failures);
        symptoms.any(|symptom| symptom.class() == class && !is_bug(symptom))
    };
    let facts = run.facts.as_ref();
    let is_strict = facts.is_some_and(|facts| facts.flaky_result == FlakyResult::Fail);
    let is_skipped = |cell: &CellModel| cell.verdict == CellVerdict::Skipped;
    // If nothing ended the run, a process that ran such a cell was killed.
    let is_interrupted = |cell: &CellModel| cell.verdict == CellVerdict::Interrupted;
    let is_killed = run.signal.is_none() && counted().any(is_interrupted);
    // A bug in the runner counts even if it affects only a cell that is allowed to fail.
    let mut all = run.cells.iter().flat_map(failures);
    if has(FailureClass::Product) {
        RunVerdict::ProductFailure
    } else if is_strict && counted().any(CellModel::is_flaky) {
        RunVerdict::FlakyFailure
    } else if has(FailureClass::Configuration) {
        RunVerdict::ConfigurationFailure
    } else if has(FailureClass::Infrastructure) || is_killed {
        RunVerdict::InfrastructureFailure
    } else if is_timed_out {
        RunVerdict::Interrupted {
            by: Termination::RunTimeout,
        }
    } else if all.any(is_bug) {
        RunVerdict::RunnerBug
    } else if run.cells.iter().all(is_skipped) {
        RunVerdict::NothingToDo
    } else {
        RunVerdict::Passed
    }
}

/// The failures of a cell that count: those of its last attempt, or of all earlier ones if the last one was cut off.
fn failures(cell: &CellModel) -> Vec<Symptom> {
    let last = failures_of_attempt(cell);
    match cell.verdict {
        CellVerdict::Skipped => Vec::new(),
        CellVerdict::Interrupted if last.is_empty() => {
            cell.earlier.iter().flat_map(failures_of_attempt).collect()
        }
        CellVerdict::Passed
        | CellVerdict::Flaky
        | CellVerdict::Failed
        | CellVerdict::Error
        | CellVerdict::Interrupted => last,
    }
}

fn failures_of_attempt(attempt: &CellModel) -> Vec<Symptom> {
    let failures = attempt.phases.iter().filter_map(PhaseModel::failure);
    let mut symptoms: Vec<Symptom> = failures.map(|failure| failure.symptom).collect();
    if symptoms.is_empty() && matches!(attempt.verdict, CellVerdict::Failed | CellVerdict::Error) {
        // A failed cell without a failed phase means that a task of the runner ended unexpectedly.
        symptoms.push(Symptom::RunnerBug);
    }
    symptoms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::matrix::Phase;
    use crate::report::fixture::{Plan, Story, killed};

    fn story() -> impl Strategy<Value = Story> {
        let failed = || (select(&Phase::ALL[..]), select(Symptom::ALL));
        prop_oneof![
            Just(Story::Passes),
            Just(Story::IsSkipped),
            select(&Phase::ALL[..]).prop_map(Story::IsCutOffIn),
            failed().prop_map(|(phase, symptom)| Story::Fails(phase, symptom)),
            failed().prop_map(|(phase, symptom)| Story::PassesAfter(phase, symptom)),
        ]
    }

    fn stories() -> impl Strategy<Value = Vec<(bool, Story)>> {
        proptest::collection::vec((any::<bool>(), story()), 0..6)
    }

    fn ended() -> impl Strategy<Value = Option<Termination>> {
        let all = [
            Termination::Interrupt,
            Termination::Terminate,
            Termination::RunTimeout,
        ];
        proptest::option::of(select(all.to_vec()))
    }

    /// The model of a run with these cells, folded from its record.
    fn run(stories: &[(bool, Story)], signal: Option<Termination>, strict: bool) -> RunModel {
        let plans = stories
            .iter()
            .zip(1..)
            .map(|((allowed, story), nodes)| Plan("1.36", nodes, "default", *allowed, *story));
        let mut run = RunModel::new(&killed(&plans.collect::<Vec<_>>()));
        if let (true, Some(facts)) = (strict, &mut run.facts) {
            facts.flaky_result = FlakyResult::Fail;
        }
        RunModel { signal, ..run }
    }

    /// The severity of a verdict; worse is higher.
    fn rank(verdict: RunVerdict) -> u8 {
        match verdict {
            RunVerdict::Passed | RunVerdict::NothingToDo => 0,
            RunVerdict::Interrupted {
                by: Termination::RunTimeout,
            } => 1,
            RunVerdict::RunnerBug => 2,
            RunVerdict::InfrastructureFailure => 3,
            RunVerdict::ConfigurationFailure => 4,
            RunVerdict::FlakyFailure => 5,
            RunVerdict::ProductFailure => 6,
            RunVerdict::Interrupted { .. } => 7,
        }
    }

    const PRODUCT: Story = Story::Fails(Phase::Assertions, Symptom::CounterNotMet);
    const CONFIGURATION: Story = Story::Fails(Phase::Manifests, Symptom::ObjectRefused);
    const INFRASTRUCTURE: Story = Story::Fails(Phase::Cluster, Symptom::NodeImageMissing);
    const BUG: Story = Story::Fails(Phase::Periodic, Symptom::RunnerBug);
    const FLAKY: Story = Story::PassesAfter(Phase::Assertions, Symptom::CounterNotMet);
    const CUT_OFF: Story = Story::IsCutOffIn(Phase::Restart);

    /// The verdict on a whole run of cells with these stories, none of which is allowed to fail.
    fn of(stories: &[Story], signal: Option<Termination>) -> RunVerdict {
        let stories: Vec<_> = stories.iter().map(|story| (false, *story)).collect();
        verdict_of(&run(&stories, signal, false), true)
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_verdict() {
        let stories = [
            PRODUCT,
            CONFIGURATION,
            INFRASTRUCTURE,
            BUG,
            FLAKY,
            Story::IsSkipped,
        ];
        let verdicts = [
            RunVerdict::ProductFailure,
            RunVerdict::ConfigurationFailure,
            RunVerdict::InfrastructureFailure,
            RunVerdict::RunnerBug,
            RunVerdict::Passed,
            RunVerdict::NothingToDo,
        ];
        let by = Termination::Interrupt;
        for (index, verdict) in verdicts.into_iter().enumerate() {
            assert_eq!(of(&stories[index..], None), verdict);
            let interrupted = of(&stories[index..], Some(by));
            assert_eq!(interrupted, RunVerdict::Interrupted { by });
        }
        let strict = run(&[(false, CONFIGURATION), (false, FLAKY)], None, true);
        assert_eq!(verdict_of(&strict, true), RunVerdict::FlakyFailure);
    }

    #[test]
    fn the_class_is_that_of_the_first_failure_that_counts() {
        let stories = [FLAKY, CONFIGURATION, PRODUCT].map(|story| (false, story));
        let run = run(&stories, None, false);
        assert_eq!(class_of(&run), Some(FailureClass::Configuration));
        let passed = RunModel {
            cells: run.cells[..1].to_vec(),
            ..run
        };
        assert_eq!(class_of(&passed), None);
    }

    #[test]
    fn an_allowed_failure_does_not_count_unless_the_runner_has_a_bug() {
        let of = |stories: &[(bool, Story)]| verdict_of(&run(stories, None, true), true);
        assert_eq!(of(&[(true, PRODUCT)]), RunVerdict::Passed);
        assert_eq!(of(&[(true, FLAKY)]), RunVerdict::Passed);
        assert_eq!(of(&[(true, BUG)]), RunVerdict::RunnerBug);
        let broken = of(&[(true, PRODUCT), (false, INFRASTRUCTURE)]);
        assert_eq!(broken, RunVerdict::InfrastructureFailure);
    }

    #[test]
    fn only_the_last_attempt_counts_unless_it_was_cut_off() {
        let mut retried = run(&[(false, FLAKY), (false, INFRASTRUCTURE)], None, false);
        let mut cut_off = retried.clone();
        cut_off.cells[0].verdict = CellVerdict::Interrupted;
        assert_eq!(verdict_of(&cut_off, true), RunVerdict::ProductFailure);
        let last = retried.cells.remove(1);
        let earlier = std::mem::take(&mut retried.cells[0].earlier);
        retried.cells = vec![CellModel { earlier, ..last }];
        assert_eq!(
            verdict_of(&retried, true),
            RunVerdict::InfrastructureFailure
        );
    }

    #[test]
    fn a_run_timeout_hides_no_failure_and_counts_only_if_it_cut_a_cell_off() {
        let by = Termination::RunTimeout;
        let up = RunVerdict::Interrupted { by };
        let of = |stories: &[Story]| of(stories, Some(by));
        assert_eq!(of(&[Story::Passes, CUT_OFF]), up);
        assert_eq!(of(&[Story::IsSkipped]), up);
        assert_eq!(of(&[Story::Passes]), RunVerdict::Passed);
        let broken = of(&[INFRASTRUCTURE, CUT_OFF]);
        assert_eq!(broken, RunVerdict::InfrastructureFailure);
        let skipped = [(false, Story::Passes), (false, Story::IsSkipped)];
        let mut skipped = run(&skipped, Some(by), false);
        skipped.cells[1].cannot_run = true;
        assert_eq!(verdict_of(&skipped, true), RunVerdict::Passed);
    }

    #[test]
    fn an_error_without_a_failed_phase_is_a_bug_in_the_runner() {
        let mut broken = run(&[(false, Story::Passes)], None, false);
        broken.cells[0].verdict = CellVerdict::Error;
        assert_eq!(verdict_of(&broken, true), RunVerdict::RunnerBug);
        broken
            .cells
            .push(run(&[(false, CUT_OFF)], None, false).cells.remove(0));
        let by = Termination::RunTimeout;
        broken.signal = Some(by);
        let timed_out = verdict_of(&broken, true);
        assert_eq!(timed_out, RunVerdict::Interrupted { by }, "as documented");
    }

    #[test]
    fn an_incomplete_run_is_an_infrastructure_failure_unless_a_worse_one_is_known() {
        let of = |stories: &[(bool, Story)]| verdict_of(&run(stories, None, false), false);
        let broken = RunVerdict::InfrastructureFailure;
        assert_eq!(of(&[]), broken);
        assert_eq!(of(&[(false, Story::Passes)]), broken);
        assert_eq!(of(&[(false, PRODUCT)]), RunVerdict::ProductFailure);
    }

    proptest! {
        #[test]
        fn the_order_of_cells_changes_no_verdict(
            stories in stories(), signal in ended(), strict: bool, by in 0..6_usize,
        ) {
            let run = run(&stories, signal, strict);
            let mut other = run.clone();
            other.cells.reverse();
            let by = by.min(other.cells.len());
            other.cells.rotate_left(by);
            prop_assert_eq!(verdict_of(&run, true), verdict_of(&other, true));
        }

        #[test]
        fn a_recorded_verdict_does_not_change_the_verdict(stories in stories(), signal in ended()) {
            let run = run(&stories, signal, false);
            let recorded = RunModel { verdict: Some(RunVerdict::Passed), ..run.clone() };
            prop_assert_eq!(verdict_of(&run, true), verdict_of(&recorded, true));
        }

        #[test]
        fn another_cell_never_improves_the_verdict_and_a_passed_one_does_not_change_it(
            stories in stories(), more in story(), allowed: bool, signal in ended(), strict: bool,
        ) {
            let verdict = |last: Option<(bool, Story)>| {
                let stories: Vec<_> = stories.iter().copied().chain(last).collect();
                verdict_of(&run(&stories, signal, strict), true)
            };
            let before = verdict(None);
            let after = verdict(Some((allowed, more)));
            prop_assert!(rank(after) >= rank(before), "{before:?} became {after:?}");
            let passed = verdict(Some((allowed, Story::Passes)));
            prop_assert!(passed == before || before == RunVerdict::NothingToDo, "{before:?} became {passed:?}");
        }

        #[test]
        fn an_incomplete_run_never_passes(stories in stories(), signal in ended(), strict: bool) {
            let run = run(&stories, signal, strict);
            prop_assert!(rank(verdict_of(&run, false)) > 0);
            prop_assert!(rank(verdict_of(&run, false)) >= rank(verdict_of(&run, true)));
        }
    }
}
