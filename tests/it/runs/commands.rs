//! Commands of the matrix file: what they get, how their results are reported, and that they leave nothing behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, FailureClass, Symptom};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::{CellModel, PhaseModel, PhaseOutcome};
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use rustix::process::{Pid, Signal, kill_process};

use super::expectations::{MATRIX, run};
use crate::support::{Scratch, record, write_program};

const CELL: &str = "k8s-1.36-n1-own";
/// Far longer than a run should take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Starts one child in the command's process group and one that leaves the group, writes their ids, and waits for an
/// hour.
const ENDLESS: &str = "/bin/sleep 3600 & echo $! >\"$1\"\n/usr/bin/setsid /bin/sleep 3600 & echo $! >>\"$1\"\n/bin/cat \"$1\" >\"$2\"\nwait\n";

/// Writes an executable script in `scratch`.
fn script(scratch: &Scratch, name: &str, text: &str) {
    let path = scratch.path().join(name);
    write_program(&path, &format!("#!/bin/sh\n{text}"));
}

fn command<'c>(cell: &'c CellModel, name: &str) -> &'c PhaseModel {
    let mut all = cell.phases.iter();
    let found = all.find(|phase| phase.name() == name);
    found.unwrap_or_else(|| panic!("the record has no command {name}"))
}

/// Asserts that the processes whose ids [`ENDLESS`] has written are no longer running.
fn assert_all_are_gone(file: &Path) {
    let ids = fs::read_to_string(file).unwrap();
    assert_eq!(ids.lines().count(), 2, "{ids}");
    // A zombie no longer has an environment.
    let environment = |id: &str| fs::read(Path::new("/proc").join(id).join("environ"));
    let runs = |id: &&str| environment(id).is_ok_and(|environment| !environment.is_empty());
    assert_eq!(
        ids.lines().filter(runs).collect::<Vec<_>>(),
        [] as [&str; 0]
    );
}

#[test]
fn a_command_gets_the_facts_of_its_cell_and_its_exit_code_decides() {
    let scratch = Scratch::new();
    script(
        &scratch,
        "facts.sh",
        "echo \"$CELL $CONFIG $KUBERNETES_VERSION $NODES [$NODE_NAMES] $NAMESPACE $PROVIDER $1\"\n\
         echo \"$MOCK_URL\" >mock; echo \"$OUTPUT\" >output; echo \"$RUN\" >run\n\
         echo on stderr >&2\ntest -z \"$KUBECONFIG\"\n",
    );
    script(&scratch, "fails.sh", "echo the last words; exit 3\n");
    let (code, run) = run(
        &scratch,
        r#"
        [[commands]]
        name = "facts"
        after = "readiness"
        run = ["./facts.sh", "a b"]
        [[commands]]
        after = "assertions"
        run = ["./fails.sh"]
        timeout = "30s"
        [[commands]]
        name = "later"
        after = "periodic"
        run = ["./facts.sh"]
        "#,
    );
    let cell = record::cell(&run, CELL);
    assert_eq!(code, Some(1), "{:?}", cell.reason);
    assert_eq!(
        cell.reason.as_deref(),
        Some("`fails.sh` exited with code 3")
    );
    let node = &cell.facts.as_ref().unwrap().nodes[0];
    let passed = command(cell, "facts");
    assert_eq!(
        (passed.phase, &passed.outcome),
        (Phase::Readiness, &PhaseOutcome::Passed)
    );
    assert_eq!(
        passed.logs()[0].lines,
        [
            format!("{CELL} own 1.36 1 [{node}] plexd-e2e local a b"),
            "on stderr".to_owned()
        ]
    );
    let failed = command(cell, "fails.sh");
    let failure = failed.failure().unwrap();
    assert_eq!(
        (failure.symptom, failure.class()),
        (Symptom::CommandFailed, FailureClass::Product)
    );
    assert_eq!(failure.logs[0].lines, ["the last words"]);
    for skipped in ["request-bodies", "periodic", "later", "local-endpoint"] {
        let reason = "`fails.sh` failed".to_owned();
        assert_eq!(
            command(cell, skipped).outcome,
            PhaseOutcome::Skipped(reason),
            "{skipped}"
        );
    }
    let written = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
    assert!(written("mock").starts_with("http://127.0.0.1:"));
    assert_eq!(written("run").trim(), run.facts.as_ref().unwrap().run);
    let output = Path::new(written("output").trim()).join("command-facts.log");
    assert_eq!(fs::read_to_string(output).unwrap().lines().count(), 2);
    assert_reports_show_each_command(&scratch);
    record::assert_nothing_else_is_left(&scratch, &run);
}

fn assert_reports_show_each_command(scratch: &Scratch) {
    let folder = record::folder(scratch);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let junit = read("junit.xml");
    let junit = Report::deserialize_from_str(&junit).unwrap();
    let cases = &junit.test_suites[0].test_cases;
    let case = |name: &str| {
        cases
            .iter()
            .find(|case| case.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(cases.len(), Phase::ALL.len() + 3);
    assert!(matches!(
        case("facts").status,
        TestCaseStatus::Success { .. }
    ));
    assert!(
        case("facts")
            .system_out
            .as_ref()
            .unwrap()
            .as_str()
            .contains("on stderr")
    );
    assert!(
        matches!(&case("fails.sh").status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, ty: Some(ty), .. } if ty.as_str() == "command-failed")
    );
    assert!(
        case("fails.sh")
            .system_out
            .as_ref()
            .unwrap()
            .as_str()
            .contains("the last words")
    );
    assert!(matches!(
        case("later").status,
        TestCaseStatus::Skipped { .. }
    ));
    let (summary, page) = (read("summary.md"), read("report.html"));
    for report in [&summary, &page] {
        for name in ["facts", "fails.sh", "later"] {
            assert!(report.contains(name), "{name} is not in {report}");
        }
    }
    assert!(summary.contains("the last words") && page.contains("on stderr"));
}

#[test]
fn the_output_of_a_command_is_masked() {
    let scratch = Scratch::new();
    script(&scratch, "print.sh", "echo \"a $1 b\"\n");
    let matrix = MATRIX.replace("[run]", "[run]\nsecrets = [\"hunter2hunter2\"]");
    let rest = "[[commands]]\nafter = \"readiness\"\nrun = [\"./print.sh\", \"hunter2hunter2\"]\n";
    fs::write(scratch.path().join("matrix.toml"), matrix + rest).unwrap();
    let command = &mut scratch.command(&["--provider", "local"]);
    assert_eq!(
        command.timeout(PATIENCE).output().unwrap().status.code(),
        Some(0)
    );
    let folder = record::folder(&scratch);
    let file = folder.join("cells").join(CELL).join("command-print.sh.log");
    assert_eq!(fs::read_to_string(file).unwrap(), "a *** b\n");
    let record = fs::read_to_string(folder.join("events.ndjson")).unwrap();
    assert!(record.contains("a *** b") && !record.contains("hunter2"));
}

#[test]
fn a_command_that_times_out_is_killed_with_all_its_processes() {
    let scratch = Scratch::new();
    script(&scratch, "endless.sh", ENDLESS);
    let (code, run) = run(
        &scratch,
        "[[commands]]\nafter = \"readiness\"\nrun = [\"./endless.sh\", \"ids\", \"started\"]\ntimeout = \"5s\"\n",
    );
    let cell = record::cell(&run, CELL);
    assert_eq!(code, Some(1), "{:?}", cell.reason);
    assert_eq!(
        cell.reason.as_deref(),
        Some("`endless.sh` did not finish within 5s")
    );
    assert_all_are_gone(&scratch.path().join("ids"));
    record::assert_nothing_else_is_left(&scratch, &run);
}

/// Starts a run, and waits until it is in the middle of [`ENDLESS`]. The command follows a phase that comes after a
/// skipped one.
fn in_the_middle_of_a_command(scratch: &Scratch) -> Child {
    script(scratch, "endless.sh", ENDLESS);
    let pipe = scratch.path().join("started");
    let created = Command::new("mkfifo").arg(&pipe).status();
    assert!(created.unwrap().success());
    let rest = "[phases.request-bodies]\nrun = false\n[[commands]]\nafter = \"periodic\"\nrun = [\"./endless.sh\", \"ids\", \"started\"]\ntimeout = \"1h\"\n";
    fs::write(
        scratch.path().join("matrix.toml"),
        format!("{MATRIX}{rest}"),
    )
    .unwrap();
    let mut process = scratch.process(&["--provider", "local"]);
    process.stdout(Stdio::null()).stderr(Stdio::null());
    let running = process.spawn().unwrap();
    // Returns when the command has written to the pipe.
    fs::read_to_string(&pipe).unwrap();
    running
}

#[test]
fn a_signal_ends_a_command_and_all_its_processes() {
    let scratch = Scratch::new();
    let mut running = in_the_middle_of_a_command(&scratch);
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let run = record::read(&scratch);
    let cell = record::cell(&run, CELL);
    assert_eq!(cell.verdict, CellVerdict::Interrupted);
    assert_eq!(cell.failed_phase().unwrap().name(), "endless.sh");
    assert_eq!(command(cell, "cleanup").outcome, PhaseOutcome::Passed);
    assert_all_are_gone(&scratch.path().join("ids"));
    record::assert_nothing_else_is_left(&scratch, &run);
}

#[test]
fn gc_finds_processes_that_a_command_of_a_killed_run_started() {
    let scratch = Scratch::new();
    let mut running = in_the_middle_of_a_command(&scratch);
    running.kill().unwrap();
    running.wait().unwrap();
    let gc = scratch.command(&["gc"]).timeout(PATIENCE).output().unwrap();
    assert!(gc.status.success());
    assert_all_are_gone(&scratch.path().join("ids"));
    record::assert_nothing_else_is_left(&scratch, &record::read(&scratch));
}

#[test]
fn commands_after_skipped_phases_are_skipped_and_those_that_cannot_start_are_configuration_failures()
 {
    let scratch = Scratch::new();
    let broken = scratch.path().join("broken");
    write_program(&broken, "#!/no/such/interpreter\n");
    let (code, run) = run(
        &scratch,
        r#"
        [phases.assertions]
        run = false
        [[commands]]
        name = "never"
        after = "assertions"
        run = ["./broken"]
        [[commands]]
        after = "request-bodies"
        run = ["./broken"]
        "#,
    );
    let cell = record::cell(&run, CELL);
    assert_eq!(code, Some(2), "{:?}", cell.reason);
    let skipped = "the matrix file has `run = false` under `[phases.assertions]`".to_owned();
    assert_eq!(
        command(cell, "never").outcome,
        PhaseOutcome::Skipped(skipped)
    );
    let failure = command(cell, "broken").failure().unwrap();
    assert_eq!(failure.symptom, Symptom::BadConfiguration);
    record::assert_nothing_else_is_left(&scratch, &run);
}

#[test]
fn a_program_that_cannot_be_run_is_an_error_before_anything_is_created() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("plain"), "").unwrap();
    for (program, message) in [
        ("./missing", "failed to find the program"),
        ("./plain", "plain is not executable"),
        ("./home", "home is not a file"),
        ("bare", "there is no program `bare` on the PATH"),
    ] {
        let rest = format!("[[commands]]\nafter = \"readiness\"\nrun = [\"{program}\"]\n");
        fs::write(
            scratch.path().join("matrix.toml"),
            format!("{MATRIX}{rest}"),
        )
        .unwrap();
        let command = &mut scratch.command(&["--provider", "local"]);
        let output = command.timeout(PATIENCE).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let line = MATRIX.lines().count() + 3;
        assert!(
            stderr.contains(message) && stderr.contains(&format!("matrix.toml:{line}:")),
            "{stderr}"
        );
        assert!(!scratch.path().join("target").exists());
    }
}
