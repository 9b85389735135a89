//! The file, read back and compared with the fixture's table.

use proptest::prelude::*;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::*;
use crate::event::{AxisFacts, Termination};
use crate::matrix::Phase;
use crate::record::model::Notice;
use crate::report::fixture::{self, CLEAN_LINE, MIXED, Plan, Story};
use crate::report::marks::Mark;

fn render(run: &RunModel) -> String {
    crate::report::write::Report::Junit.render(run)
}

fn read_back(run: &RunModel) -> Report {
    Report::deserialize_from_str(&render(run)).unwrap()
}

fn suite<'a>(report: &'a Report, plan: &Plan) -> &'a TestSuite {
    let id = plan.id();
    let mut suites = report.test_suites.iter();
    suites
        .find(|suite| suite.name.as_str() == id.as_str())
        .unwrap()
}

fn case<'a>(report: &'a Report, plan: &Plan, phase: Phase) -> &'a TestCase {
    let cases = &suite(report, plan).test_cases;
    cases
        .iter()
        .find(|case| case.name.as_str() == phase.name())
        .unwrap()
}

fn system_out(case: &TestCase) -> String {
    case.system_out
        .as_ref()
        .map_or(String::new(), |text| text.as_str().to_owned())
}

/// The expected status of a phase with this mark.
fn kind(plan: &Plan, phase: Phase) -> &'static str {
    match plan.mark(phase) {
        Mark::Passed | Mark::Simulated => "success",
        Mark::Failed | Mark::Error if plan.3 => "skipped",
        Mark::Failed => "failure",
        Mark::Error | Mark::Interrupted => "error",
        Mark::Skipped => "skipped",
    }
}

fn kind_of(case: &TestCase) -> &'static str {
    match &case.status {
        TestCaseStatus::Success { .. } => "success",
        TestCaseStatus::NonSuccess {
            kind: NonSuccessKind::Failure,
            ..
        } => "failure",
        TestCaseStatus::NonSuccess {
            kind: NonSuccessKind::Error,
            ..
        } => "error",
        TestCaseStatus::Skipped { .. } => "skipped",
    }
}

#[test]
fn every_phase_of_every_cell_matches_the_table() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    assert_eq!(report.test_suites.len(), MIXED.len());
    for plan in &MIXED {
        assert_eq!(suite(&report, plan).test_cases.len(), Phase::ALL.len());
        for phase in Phase::ALL {
            let case = case(&report, plan, phase);
            assert_eq!(kind_of(case), kind(plan, phase), "{} {phase}", plan.id());
            let class_name = case.classname.as_ref().unwrap().as_str();
            assert_eq!(class_name, format!("e2e-matrix.{}", plan.id()));
        }
    }
}

#[test]
fn a_long_run_is_one_report_with_all_its_cells_in_order() {
    let mut run = RunModel::new(&fixture::mixed());
    let cells = run.cells.iter().cycle().take(2 * CELLS_AT_ONCE + 1);
    run.cells = cells.cloned().collect();
    let report = read_back(&run);
    let names = report.test_suites.iter().map(|suite| suite.name.as_str());
    let ids = run.cells.iter().map(|cell| cell.summary.id.as_str());
    assert!(names.eq(ids));
    let sum = |count: fn(&TestSuite) -> usize| report.test_suites.iter().map(count).sum::<usize>();
    assert_eq!(report.tests, sum(|suite| suite.tests));
    assert_eq!(report.failures, sum(|suite| suite.failures));
    assert_eq!(report.errors, sum(|suite| suite.errors));
    assert_eq!(report.skipped, sum(|suite| suite.skipped));
}

#[test]
fn a_failure_has_its_symptom_message_and_evidence() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    let case = case(&report, &MIXED[2], Phase::Assertions);
    let TestCaseStatus::NonSuccess { message, ty, .. } = &case.status else {
        panic!("{case:?}");
    };
    assert_eq!(ty.as_ref().unwrap().as_str(), "counter-not-met");
    assert!(
        message
            .as_ref()
            .unwrap()
            .as_str()
            .ends_with("as counter-not-met does")
    );
    insta::assert_snapshot!(system_out(case));
    assert!(system_out(case).contains(CLEAN_LINE));
}

#[test]
fn a_suite_states_what_ran_where() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    let suite = suite(&report, &MIXED[2]);
    insta::assert_snapshot!(suite.system_out.as_ref().unwrap().as_str());
    assert_eq!(
        suite.timestamp.unwrap().to_rfc3339(),
        "2026-01-02T03:06:17+00:00"
    );
    assert_eq!(suite.extra["hostname"].as_str(), "builder");
}

#[test]
fn the_properties_of_a_suite_are_the_values_on_the_axes_and_the_tags() {
    let mut run = RunModel::new(&fixture::mixed());
    let cell = &mut run.cells[2].summary;
    cell.axes = vec![AxisFacts {
        axis: "agent".into(),
        value: "1.4".into(),
    }];
    cell.tags = vec!["newest".into()];
    let report = read_back(&run);
    let properties = suite(&report, &MIXED[2]).properties.iter();
    let properties = properties.map(|one| (one.name.as_str(), one.value.as_str()));
    assert_eq!(
        properties.collect::<Vec<_>>(),
        [
            ("kubernetes", "1.33"),
            ("nodes", "3"),
            ("config", "fast"),
            ("agent", "1.4"),
            ("tag", "newest"),
        ]
    );
}

#[test]
fn an_allowed_failure_does_not_fail_the_file_and_keeps_its_evidence() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    let case = case(&report, &MIXED[5], Phase::Restart);
    let TestCaseStatus::Skipped { message, .. } = &case.status else {
        panic!("{case:?}");
    };
    assert!(
        message
            .as_ref()
            .unwrap()
            .as_str()
            .starts_with("allowed to fail: it went wrong")
    );
    assert!(system_out(case).contains("NOT MET"));
}

#[test]
fn an_interrupted_phase_shows_its_progress() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    let case = case(&report, &MIXED[6], Phase::Readiness);
    let TestCaseStatus::NonSuccess { message, .. } = &case.status else {
        panic!("{case:?}");
    };
    let message = message.as_ref().unwrap().as_str();
    assert_eq!(
        message,
        "the run ended while this cell was running (last seen: 1 of 3 agents ready)"
    );
}

#[test]
fn a_simulated_phase_is_marked() {
    let report = read_back(&RunModel::new(&fixture::green_local(&MIXED[..1])));
    let case = case(&report, &MIXED[0], Phase::Cluster);
    assert!(system_out(case).starts_with("simulated: "));
}

/// The mixed run, in which flaky cells count as failed.
fn strict() -> RunModel {
    let mut run = RunModel::new(&fixture::mixed());
    if let Some(facts) = &mut run.facts {
        facts.flaky_result = FlakyResult::Fail;
    }
    run
}

#[test]
fn a_flaky_cell_passes_with_the_evidence_of_both_attempts() {
    let report = read_back(&RunModel::new(&fixture::mixed()));
    let case = case(&report, &MIXED[8], Phase::Readiness);
    assert_eq!(kind_of(case), "success");
    insta::assert_snapshot!(system_out(case));
    let suite = suite(&report, &MIXED[8]);
    insta::assert_snapshot!(suite.system_out.as_ref().unwrap().as_str());
}

#[test]
fn a_flaky_cell_that_counts_as_failed_has_a_failed_case() {
    let report = read_back(&strict());
    let last = suite(&report, &MIXED[8]).test_cases.last().unwrap();
    assert_eq!((last.name.as_str(), kind_of(last)), ("flaky", "failure"));
    let TestCaseStatus::NonSuccess { message, ty, .. } = &last.status else {
        panic!("{last:?}");
    };
    assert_eq!(ty.as_ref().unwrap().as_str(), "flaky");
    let message = message.as_ref().unwrap().as_str();
    assert!(
        message.contains("attempt 1: failed in readiness"),
        "{message}"
    );
    assert!(system_out(last).contains("as agent-not-ready does"));
}

#[test]
fn a_run_without_cells_is_one_error() {
    let report = read_back(&RunModel::default());
    let [suite] = &report.test_suites[..] else {
        panic!("{report:?}");
    };
    assert_eq!(suite.name.as_str(), "run");
    assert_eq!(kind_of(&suite.test_cases[0]), "error");
}

#[test]
fn a_run_that_did_not_pass_has_an_error_even_if_nothing_else_failed() {
    let passes = Plan("1.34", 1, "fast", false, Story::Passes);
    let mut run = RunModel::new(&fixture::killed(&[passes]));
    run.notices = vec![Notice {
        severity: Severity::Warning,
        text: "shards are missing: 2/2".to_owned(),
    }];
    let terminated = RunVerdict::Interrupted {
        by: Termination::Terminate,
    };
    for (verdict, expected) in [
        (None, Some("killed before it finished")),
        (
            Some(RunVerdict::InfrastructureFailure),
            Some("error (infrastructure)"),
        ),
        (Some(terminated), Some("interrupted by SIGTERM")),
        (Some(RunVerdict::Passed), None),
        (Some(RunVerdict::NothingToDo), None),
    ] {
        run.verdict = verdict;
        let report = read_back(&run);
        assert_eq!(report.errors, usize::from(expected.is_some()));
        let suites = report.test_suites.iter();
        let cases = suites.flat_map(|suite| &suite.test_cases);
        let messages = cases.filter_map(|case| match &case.status {
            TestCaseStatus::NonSuccess { message, .. } => message.as_ref(),
            TestCaseStatus::Success { .. } | TestCaseStatus::Skipped { .. } => None,
        });
        let messages: Vec<_> = messages
            .map(|message| message.as_str().to_owned())
            .collect();
        let expected = expected.map(|verdict| format!("{verdict}; shards are missing: 2/2"));
        assert_eq!(messages, Vec::from_iter(expected));
    }
}

#[test]
fn a_failed_cell_without_a_failed_phase_has_a_failed_case() {
    let plan = Plan("1.34", 1, "fast", false, Story::Passes);
    let mut records = fixture::killed(&[plan]);
    records.retain(|record| !matches!(record.event, crate::event::Event::CellFinished { .. }));
    let report = read_back(&RunModel::new(&records));
    let last = suite(&report, &plan).test_cases.last().unwrap();
    assert_eq!((last.name.as_str(), kind_of(last)), ("cell", "error"));
}

#[test]
fn durations_of_any_length_can_be_added() {
    let mut run = RunModel::new(&fixture::mixed());
    let phase = PhaseModel {
        duration_ms: u64::MAX,
        ..run.cells[0].phases[0].clone()
    };
    run.cells[0].phases = vec![phase; 1001];
    assert!(render(&run).contains("</testsuites>"));
}

#[test]
fn the_same_records_give_the_same_file() {
    let records = fixture::mixed();
    assert_eq!(
        render(&RunModel::new(&records)),
        render(&RunModel::new(&records))
    );
}

proptest! {
    #[test]
    fn any_text_survives_the_file(text in any::<String>(), marks in "[\\t\\r<&\\]>]*") {
        // The parser trims the text.
        let text = format!("[{marks}{text}]");
        let mut run = RunModel::new(&fixture::green_local(&[Plan(
            "1.30", 1, "fast", false, Story::Passes,
        )]));
        run.cells[0].phases[4].outcome = PhaseOutcome::Skipped(text.clone());
        run.cells[0].phases[5].details.get_or_insert_default().warnings = vec![text.clone()];
        let report = read_back(&run);
        let suite = &report.test_suites[0];
        let TestCaseStatus::Skipped { message, .. } = &suite.test_cases[4].status else {
            panic!("not skipped");
        };
        let clean = XmlText::new(&text);
        let message = message.as_ref().map_or("", |message| message.as_str());
        prop_assert_eq!(message, clean.attribute());
        let clean = clean.as_str().replace('\t', TAB);
        let out = system_out(&suite.test_cases[5]);
        prop_assert_eq!(out, format!("warning: {clean}"));
    }
}
