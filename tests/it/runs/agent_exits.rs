//! Agents that exit, or are about to be killed, although all counters are met: their cells must not pass.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Failure, Symptom};
use e2e_matrix::matrix::Phase;

use crate::support::{QUICK_AGENT, Scratch, copy, record, write_program};

/// Far longer than the run should take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs `matrix` locally, and expects a product failure.
fn run(scratch: &Scratch, matrix: &str) {
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = scratch
        .command(&["--provider", "local", "--jobs", "3"])
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
}

fn failure_of(scratch: &Scratch, cell: &str) -> Failure {
    let run = record::read(scratch);
    let cell = record::cell(&run, cell);
    let phase = cell
        .failed_phase()
        .expect("a failed cell has a failed phase");
    phase
        .failure()
        .expect("a failed phase has a failure")
        .clone()
}

/// Writes an agent that runs for 1.5 s and exits with code 0 or 1, each time or only the first time, depending on
/// `CASE`.
fn write_mortal_agent(path: &Path) {
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    let text = format!(
        "#!/bin/sh\n\
         live() {{ /usr/bin/timeout --foreground 1.5 '{program}' agent \"$@\"; echo 'these are my last words'; }}\n\
         marker=/var/lib/plexd/$CASE\n\
         case $CASE in\n\
         zero) live \"$@\"; exit 0;;\n\
         one) live \"$@\"; exit 1;;\n\
         once) if [ -e \"$marker\" ]; then exec '{program}' agent \"$@\"; fi; : > \"$marker\"; live \"$@\"; exit 1;;\n\
         esac\n"
    );
    write_program(path, &text);
}

/// Sending eight heartbeats takes longer than such an agent runs.
#[test]
fn a_single_exit_of_an_agent_fails_the_cell_unless_the_matrix_file_allows_it() {
    let scratch = Scratch::new();
    write_mortal_agent(&scratch.path().join("agent.sh"));
    let variants = [("zero", 0), ("one", 0), ("once", 1)].map(|(case, restarts)| {
        format!(
            "[config.{case}]\nagent = {QUICK_AGENT}\nenv = {{ CASE = \"{case}\" }}\nexpect = {{ heartbeat_count = 8, restarts = {restarts} }}\n"
        )
    });
    let variants = variants.concat();
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"zero\", \"one\", \"once\"]\n\
         [run]\nports = \"any\"\n[images.agent]\nimage = \"agent.example/mortal:1\"\nbinary = \"agent.sh\"\n{variants}"
    );
    run(&scratch, &matrix);
    for (case, how) in [
        ("zero", "exited with code 0"),
        ("one", "exited with code 1"),
    ] {
        let failure = failure_of(&scratch, &format!("k8s-1.36-n1-{case}"));
        assert_eq!(failure.symptom, Symptom::AgentCrashed, "{failure}");
        assert!(failure.message.contains(how), "{failure}");
        let node = failure.evidence[0].node.as_deref().unwrap();
        assert!(node.ends_with("-control-plane"), "{node}");
        let mut lines = failure.logs.iter().flat_map(|log| &log.lines);
        assert!(
            lines.any(|line| line.contains("my last words")),
            "{failure:?}"
        );
    }
    let run = record::read(&scratch);
    let allowed = record::cell(&run, "k8s-1.36-n1-once");
    assert_eq!(allowed.verdict, CellVerdict::Passed, "{allowed:?}");
}

#[test]
fn an_agent_with_a_failing_liveness_probe_fails_the_cell() {
    // Such a probe would kill the agent a minute after its start, long after the end of the cell.
    assert_unhealthy("            failureThreshold: 60\n");
}

#[test]
fn the_suite_waits_for_the_first_run_of_a_liveness_probe() {
    // Without waiting, the phases would end before the first probe.
    assert_unhealthy("            initialDelaySeconds: 15\n            failureThreshold: 60\n");
}

#[test]
fn an_agent_that_is_killed_because_of_its_liveness_probe_is_unhealthy() {
    let scratch = Scratch::new();
    let fields = "            initialDelaySeconds: 3\n            failureThreshold: 1\n";
    let failure = liveness_failure(&scratch, fields);
    assert!(
        failure.message.contains("was killed after it became ready"),
        "{failure}"
    );
}

/// Asserts that a cell fails in its last phase if its agents have a liveness probe with `fields`, on a path that
/// doesn't exist.
fn assert_unhealthy(fields: &str) {
    let scratch = Scratch::new();
    liveness_failure(&scratch, fields);
    let run = record::read(&scratch);
    let cell = record::cell(&run, "k8s-1.36-n1-fast");
    assert_eq!(
        record::deviations(cell, Some(Phase::LocalEndpoint)),
        [] as [String; 0]
    );
}

/// The failure of a cell whose agents have a liveness probe with `fields`, on a path that doesn't exist.
fn liveness_failure(scratch: &Scratch, fields: &str) -> Failure {
    let manifests = scratch.path().join("manifests");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    copy(&shipped, &manifests);
    let path = manifests.join("daemonset.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, liveness) = text.split_once("livenessProbe:").unwrap();
    let threshold = "            failureThreshold: 15\n";
    assert!(liveness.contains("path: /healthz") && liveness.contains(threshold));
    let liveness = liveness
        .replacen("path: /healthz", "path: /nothing-here", 1)
        .replacen(threshold, fields, 1);
    fs::write(&path, format!("{before}livenessProbe:{liveness}")).unwrap();
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"fast\"]\n[run]\nports = \"any\"\n\
         [deploy]\nmanifests = \"manifests\"\n[config.fast]\nagent = {QUICK_AGENT}\n"
    );
    run(scratch, &matrix);
    let failure = failure_of(scratch, "k8s-1.36-n1-fast");
    assert_eq!(failure.symptom, Symptom::AgentUnhealthy, "{failure}");
    assert!(
        failure.message.contains("/nothing-here returned 404"),
        "{failure}"
    );
    failure
}
