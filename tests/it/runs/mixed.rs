//! Whole runs of the real binary on the local provider. One table says how each cell ends. The expected record,
//! terminal output, JUnit, summary and exit code are derived from it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, FailureClass, Symptom};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::{CellModel, PhaseOutcome};
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

use crate::support::{Scratch, copy, record, write_program};

/// Far longer than a whole run should take; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(180);

/// The failed phase of a cell, or `None` if the cell passes.
type End = Option<(Phase, Symptom)>;

/// A cell of [`MATRIX`]: its id, whether it may fail, and how it ends.
struct Row {
    id: &'static str,
    allowed: bool,
    end: End,
}

const ROWS: [Row; 6] = [
    Row {
        id: "k8s-1.36-n1-fast",
        allowed: false,
        end: None,
    },
    Row {
        id: "k8s-1.36-n1-silent",
        allowed: false,
        end: Some((Phase::Assertions, Symptom::CounterNotMet)),
    },
    Row {
        id: "k8s-1.36-n1-garbled",
        allowed: false,
        end: Some((Phase::RequestBodies, Symptom::BadBody)),
    },
    Row {
        id: "k8s-1.36-n1-mockless",
        allowed: false,
        end: Some((Phase::Readiness, Symptom::MockUnavailable)),
    },
    Row {
        id: "k8s-1.36-n1-crash",
        allowed: true,
        end: Some((Phase::Readiness, Symptom::AgentCrashed)),
    },
    Row {
        id: "k8s-1.36-n3-fast",
        allowed: false,
        end: Some((Phase::Manifests, Symptom::Unschedulable)),
    },
];

/// The matrix of [`ROWS`]. The mock is a script that exits immediately in one of the cells. The agent in the manifests
/// tolerates no taint, so it is scheduled on a single control plane but not on one that has workers.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["fast", "silent", "garbled", "mockless"]

[[matrix.include]]
kubernetes = "1.36"
nodes = 1
config = "crash"
allow-failure = true

[[matrix.include]]
kubernetes = "1.36"
nodes = 3
config = "fast"

[config.fast]
agent = { heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }
[config.silent]
env = { PLEXD_FAULT = "no-audit" }
[config.garbled]
env = { PLEXD_FAULT = "heartbeat-not-json" }
[config.mockless]
[config.crash]
env = { PLEXD_FAULT = "crash" }

[phases.assertions]
timeout = "15s"

[images.mock]
image = "mock.example/script:1"
binary = "mock.sh"
[deploy]
manifests = "manifests"
[run]
ports = "any"
"#;

/// Everything that is derived from a row.
impl Row {
    fn verdict(&self) -> CellVerdict {
        self.end.map_or(CellVerdict::Passed, |(_, symptom)| {
            CellVerdict::of_class(symptom.class())
        })
    }

    /// How `phase` ends: phases before the failed one pass, later phases are skipped, and cleanup passes.
    fn end_of(&self, phase: Phase) -> Expected {
        match self.end {
            None => Expected::Passed,
            Some((failed, symptom)) if phase == failed => Expected::Failed(symptom),
            Some((failed, _)) if phase < failed || phase == Phase::Cleanup => Expected::Passed,
            Some(_) => Expected::Skipped,
        }
    }
}

/// How a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Passed,
    Failed(Symptom),
    Skipped,
}

impl Expected {
    fn of(outcome: &PhaseOutcome) -> Option<Self> {
        match outcome {
            PhaseOutcome::Passed => Some(Self::Passed),
            PhaseOutcome::Failed(failure) => Some(Self::Failed(failure.symptom)),
            PhaseOutcome::Skipped(_) => Some(Self::Skipped),
            PhaseOutcome::Interrupted(_) => None,
        }
    }

    /// The element in JUnit. A CI server must not report a failure for a cell that may fail.
    fn in_junit(self, allowed: bool) -> &'static str {
        match self {
            Self::Passed => "success",
            Self::Skipped => "skipped",
            Self::Failed(_) if allowed => "skipped",
            Self::Failed(symptom) => match symptom.class() {
                FailureClass::Product => "failure",
                FailureClass::Configuration | FailureClass::Infrastructure => "error",
            },
        }
    }

    /// Whether `word` stands for this outcome in the tables.
    fn is_shown_as(self, word: &str) -> bool {
        let word = word.trim_matches('*');
        match self {
            Self::Passed => word == "sim" || word.starts_with("ok ") || word.parse::<f64>().is_ok(),
            Self::Skipped => word == "-" || word == "skip",
            Self::Failed(symptom) => match symptom.class() {
                FailureClass::Product => word == "FAIL",
                FailureClass::Configuration | FailureClass::Infrastructure => word == "ERR",
            },
        }
    }
}

/// A scratch folder with everything that [`MATRIX`] refers to.
fn prepare() -> Scratch {
    let scratch = Scratch::new();
    let write = |file: &str, text: String| fs::write(scratch.path().join(file), text).unwrap();
    write("matrix.toml", MATRIX.to_owned());
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    write_program(
        &scratch.path().join("mock.sh"),
        &format!(
            "#!/bin/sh\ncase \"$E2E_MATRIX_PROCESS\" in *mockless) exit 1;; esac\nexec '{program}' mockapi \"$@\"\n"
        ),
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let manifests = scratch.path().join("manifests");
    copy(&shipped, &manifests);
    let daemon_set = fs::read_to_string(manifests.join("daemonset.yaml")).unwrap();
    let tolerations = "      tolerations:\n        - operator: Exists\n";
    assert!(daemon_set.contains(tolerations), "{daemon_set}");
    write(
        "manifests/daemonset.yaml",
        daemon_set.replace(tolerations, ""),
    );
    scratch
}

fn run(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = scratch.command(&["--provider", "local"]);
    command.args(arguments).timeout(PATIENCE).output().unwrap()
}

#[test]
fn all_reports_of_a_mixed_run_match_its_table() {
    let scratch = prepare();
    let output = run(
        &scratch,
        &["--junit", "ci/junit.xml", "--summary", "ci/summary.md"],
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let model = record::read(&scratch);
    assert_eq!(model.cells.len(), ROWS.len());
    for row in &ROWS {
        assert_record(row, record::cell(&model, row.id));
        assert_terminal(row, &stdout);
    }
    assert_reports(&scratch);
    record::assert_nothing_else_is_left(&scratch, &model);
}

fn assert_record(row: &Row, cell: &CellModel) {
    assert_eq!(cell.verdict, row.verdict(), "{}", row.id);
    assert_eq!(cell.summary.allow_failure, row.allowed, "{}", row.id);
    record::assert_has_all_phases(cell);
    for phase in &cell.phases {
        let expected = row.end_of(phase.phase);
        let seen = Expected::of(&phase.outcome);
        assert_eq!(seen, Some(expected), "{} {}", row.id, phase.phase);
        let logs = phase.failure().map_or(&[][..], |failure| &failure.logs);
        let sources: BTreeSet<&str> = logs.iter().map(|log| log.source.as_str()).collect();
        assert_eq!(
            sources.len(),
            logs.len(),
            "{}: a log is recorded twice",
            row.id
        );
    }
}

/// The headings of the columns in the first table, in the order of the phases.
const HEADINGS: [&str; 11] = [
    "preflt", "cluster", "images", "manif", "ready", "assert", "bodies", "period", "restart",
    "local", "clean",
];

/// The phases that have a column in the first table.
fn columns(stdout: &str) -> Vec<Phase> {
    let head = stdout
        .lines()
        .find(|line| line.starts_with("cell "))
        .unwrap();
    let shown: BTreeSet<&str> = head.split_whitespace().collect();
    let phases = Phase::ALL.into_iter().zip(HEADINGS);
    phases
        .filter(|(_, head)| shown.contains(head))
        .map(|(phase, _)| phase)
        .collect()
}

/// Asserts that the row in the first table has the id, one word per column, the duration, and the verdict.
fn assert_terminal(row: &Row, stdout: &str) {
    let mut lines = stdout.lines().map(str::split_whitespace);
    let words: Option<Vec<&str>> = lines
        .find(|words| words.clone().next() == Some(row.id))
        .map(Iterator::collect);
    let words = words.unwrap_or_else(|| panic!("no row of {}\n{stdout}", row.id));
    let columns = columns(stdout);
    assert_eq!(words.len(), 1 + columns.len() + 2, "{words:?}");
    assert_columns(row, &columns, &words[1..], words[words.len() - 1]);
}

fn assert_columns(row: &Row, columns: &[Phase], words: &[&str], verdict: &str) {
    for (phase, word) in columns.iter().zip(words) {
        let expected = row.end_of(*phase);
        assert!(expected.is_shown_as(word), "{} {phase}: {word}", row.id);
    }
    let name = row.verdict().name();
    let expected = match (row.end, row.allowed) {
        (None, _) => name.to_owned(),
        (Some(_), true) => format!("{name}*"),
        (Some(_), false) => name.to_uppercase(),
    };
    assert_eq!(verdict, expected, "{}", row.id);
}

/// Asserts that each report exists, contains every row, and is the same in its second location.
fn assert_reports(scratch: &Scratch) {
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap();
    let folder = record::folder(scratch);
    let [junit, summary, html] =
        ["junit.xml", "summary.md", "report.html"].map(|name| read(folder.join(name)));
    assert_eq!(junit, read(scratch.path().join("ci/junit.xml")));
    assert_eq!(summary, read(scratch.path().join("ci/summary.md")));
    let report = Report::deserialize_from_str(&junit).unwrap();
    assert_eq!(report.test_suites.len(), ROWS.len());
    for row in &ROWS {
        assert_junit(row, &report);
        assert_summary(row, &summary);
        assert!(html.contains(row.id));
    }
}

fn assert_junit(row: &Row, report: &Report) {
    let mut suites = report.test_suites.iter();
    let suite = suites.find(|suite| suite.name.as_str() == row.id).unwrap();
    let seen: Vec<(&str, &str)> = suite
        .test_cases
        .iter()
        .map(|case| (case.name.as_str(), kind(&case.status)))
        .collect();
    let expected = Phase::ALL.map(|phase| (phase.name(), row.end_of(phase).in_junit(row.allowed)));
    assert_eq!(seen, expected, "{}", row.id);
}

fn kind(status: &TestCaseStatus) -> &'static str {
    match status {
        TestCaseStatus::Success { .. } => "success",
        TestCaseStatus::Skipped { .. } => "skipped",
        TestCaseStatus::NonSuccess { kind, .. } => match kind {
            NonSuccessKind::Failure => "failure",
            NonSuccessKind::Error => "error",
        },
    }
}

/// Asserts that the row in the first table has the id, the version, one word per column, the duration, and the verdict.
fn assert_summary(row: &Row, summary: &str) {
    let start = format!("| {} |", row.id);
    let line = summary.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("no row of {}\n{summary}", row.id));
    let line = line.replace("\\*", "#").replace("**", "").replace('#', "*");
    let words = |line: &str| -> Vec<String> {
        let words = line.trim_matches('|').split('|');
        words.map(|word| word.trim().to_owned()).collect()
    };
    let head = summary.lines().find(|line| line.starts_with("| cell "));
    let head = words(head.unwrap());
    let phases = Phase::ALL.into_iter();
    let columns: Vec<Phase> = phases
        .filter(|phase| head.contains(&phase.name().to_owned()))
        .collect();
    let words = words(&line);
    assert_eq!(words.len(), 2 + columns.len() + 2, "{line}");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_columns(row, &columns, &words[2..], words[words.len() - 1]);
}

#[test]
fn the_exit_code_is_the_first_one_that_applies() {
    let scratch = prepare();
    for (filters, code) in [
        (&["n1 and fast"][..], 0),
        (&["n1 and fast", "crash"], 0),
        (&["garbled", "mockless", "n3"], 1),
        (&["n1 and fast", "mockless", "n3"], 2),
        (&["n1 and fast", "mockless"], 3),
        (&["n3 and crash"], 4),
    ] {
        let arguments: Vec<&str> = filters
            .iter()
            .flat_map(|filter| ["--filter", filter])
            .collect();
        let output = run(&scratch, &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{filters:?}\n{stderr}");
    }
    record::assert_nothing_else_is_left(&scratch, &record::read(&scratch));
}

#[test]
fn a_range_without_a_free_port_fails_the_cell_before_anything_is_created() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let scratch = Scratch::new();
    let matrix = format!("[matrix]\nkubernetes = [\"1.36\"]\n[run]\nports = \"{port}-{port}\"\n");
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = run(&scratch, &[]);
    assert_eq!(output.status.code(), Some(3));
    let model = record::read(&scratch);
    let cell = &model.cells[0];
    let failure = cell
        .failed_phase()
        .and_then(|phase| phase.failure())
        .unwrap();
    assert_eq!(failure.symptom, Symptom::NoPortFree);
    assert!(
        failure.message.contains(&port.to_string()),
        "{}",
        failure.message
    );
    assert!(failure.remedy.is_some());
    let ends: Vec<_> = cell
        .phases
        .iter()
        .map(|phase| Expected::of(&phase.outcome))
        .collect();
    assert_eq!(ends[0], Some(Expected::Failed(Symptom::NoPortFree)));
    record::assert_has_all_phases(cell);
    assert!(ends[1..].iter().all(|end| *end == Some(Expected::Skipped)));
    record::assert_nothing_else_is_left(&scratch, &model);
}
