//! The verdict on a run as a pure function of its model, whether the run has just ended, was killed, resumed or merged.

use super::model::{CellModel, PhaseModel, RunModel};
use super::verdict::{self, Counted};
use crate::event::{CellEnd, CellVerdict, Failure, FailureClass, FlakyResult, RunVerdict, Symptom};

/// The verdict on `run`, recomputed from its cells. If the run isn't whole, because it was killed or parts of it are
/// missing, it has an infrastructure failure unless a worse one is known.
pub fn verdict_of(run: &RunModel, is_whole: bool) -> RunVerdict {
    let mut counted: Vec<Counted> = run.cells.iter().map(Counted::of_record).collect();
    counted.extend(Counted::of_no_cell(&run.failures));
    let facts = run.facts.as_ref();
    let flaky_result = facts.map_or_else(FlakyResult::default, |facts| facts.flaky_result);
    let verdict = verdict::of_run(&counted, run.signal, flaky_result);
    match verdict {
        RunVerdict::Passed | RunVerdict::NothingToDo if !is_whole => {
            RunVerdict::InfrastructureFailure
        }
        verdict => verdict,
    }
}

/// The class of the first failure that counts, in the order of the cells.
pub fn class_of(run: &RunModel) -> Option<FailureClass> {
    let mut cells = run.cells.iter().map(Counted::of_record);
    cells.find_map(|cell| cell.failures().next().map(Failure::class))
}

impl Counted {
    /// The failures that belong to the run and not to a cell; `None` if there are none.
    fn of_no_cell(failures: &[Failure]) -> Option<Self> {
        (!failures.is_empty()).then(|| Self {
            attempts: vec![CellEnd {
                failures: failures.to_vec(),
                ..CellEnd::default()
            }],
            ..Self::default()
        })
    }

    /// How a cell counts, according to the record alone.
    fn of_record(cell: &CellModel) -> Self {
        if cell.verdict == CellVerdict::Skipped {
            return Self::default();
        }
        Self {
            attempts: cell.attempts().map(attempt_of_record).collect(),
            skipped: None,
            allow_failure: cell.summary.allow_failure,
        }
    }
}

/// How an attempt ended, according to the record alone.
fn attempt_of_record(attempt: &CellModel) -> CellEnd {
    let failures = attempt.phases.iter().filter_map(PhaseModel::failure);
    let mut failures: Vec<Failure> = failures.cloned().collect();
    if failures.is_empty() && matches!(attempt.verdict, CellVerdict::Failed | CellVerdict::Error) {
        // A failed cell without a failed phase means that a task of the runner ended unexpectedly.
        let reason = attempt.reason.clone().unwrap_or_default();
        failures.push(Failure::new(Symptom::RunnerBug, reason));
    }
    CellEnd {
        failures,
        interrupted: attempt.verdict == CellVerdict::Interrupted,
        ..CellEnd::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::event::Termination;
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

    /// The verdict on a run of one cell with this story, and the class of the failure that counts.
    fn of(story: Story, allowed: bool) -> (RunVerdict, Option<FailureClass>) {
        let run = run(&[(allowed, story)], None, false);
        (verdict_of(&run, true), class_of(&run))
    }

    #[test]
    fn a_cell_counts_with_its_final_failure() {
        let product = Story::Fails(Phase::Assertions, Symptom::CounterNotMet);
        let configuration = Story::Fails(Phase::Manifests, Symptom::ObjectRefused);
        let infrastructure = Story::Fails(Phase::Cluster, Symptom::NodeImageMissing);
        let flaky = Story::PassesAfter(Phase::Assertions, Symptom::CounterNotMet);
        let cases = [
            (
                product,
                RunVerdict::ProductFailure,
                Some(FailureClass::Product),
            ),
            (
                configuration,
                RunVerdict::ConfigurationFailure,
                Some(FailureClass::Configuration),
            ),
            (
                infrastructure,
                RunVerdict::InfrastructureFailure,
                Some(FailureClass::Infrastructure),
            ),
            (flaky, RunVerdict::Passed, None),
            (Story::Passes, RunVerdict::Passed, None),
            (Story::IsSkipped, RunVerdict::NothingToDo, None),
        ];
        for (story, verdict, class) in cases {
            assert_eq!(of(story, false), (verdict, class), "{story:?}");
        }
        assert_eq!(of(product, true).0, RunVerdict::Passed, "it may fail");
        let cut_off = run(
            &[(false, Story::IsCutOffIn(Phase::Restart))],
            Some(Termination::RunTimeout),
            false,
        );
        let by = Termination::RunTimeout;
        assert_eq!(verdict_of(&cut_off, true), RunVerdict::Interrupted { by });
    }

    #[test]
    fn failures_without_a_cell_or_phase_count() {
        let mut failing = run(&[(false, Story::Passes)], None, false);
        failing
            .failures
            .push(Failure::new(Symptom::FilesystemFailed, "x"));
        assert_eq!(
            verdict_of(&failing, true),
            RunVerdict::InfrastructureFailure
        );
        let mut broken = run(&[(false, Story::Passes)], None, false);
        broken.cells[0].verdict = CellVerdict::Error;
        assert_eq!(verdict_of(&broken, true), RunVerdict::RunnerBug);
    }

    #[test]
    fn an_incomplete_run_is_an_infrastructure_failure_unless_a_worse_one_is_known() {
        let product = Story::Fails(Phase::Assertions, Symptom::CounterNotMet);
        let of = |stories: &[(bool, Story)]| verdict_of(&run(stories, None, false), false);
        assert_eq!(of(&[]), RunVerdict::InfrastructureFailure);
        assert_eq!(
            of(&[(false, Story::Passes)]),
            RunVerdict::InfrastructureFailure
        );
        assert_eq!(of(&[(false, product)]), RunVerdict::ProductFailure);
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
