//! Why an agent failed: the log line that explains the failure is in the failure's first sentence and in every report.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use e2e_matrix::event::{Failure, Symptom};
use e2e_matrix::suite::causes::RULES;
use serde_json::{Value, json};

use crate::kind;
use crate::support::manifests::Manifests;
use crate::support::{Scratch, record, write_program};

/// Far longer than the run should take.
const PATIENCE: Duration = Duration::from_secs(180);
const CELL: &str = "k8s-1.36-n1-default";

/// Runs one cell whose agent is the shell script `agent`. Returns its failure and the output.
fn run(scratch: &Scratch, agent: &str) -> (Failure, String) {
    let script = scratch.path().join("agent.sh");
    write_program(&script, &format!("#!/bin/sh\n{agent}\n"));
    let matrix = "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"default\"]\n[run]\nports = \"any\"\n\
        [images.agent]\nimage = \"agent.example/mine:1\"\nbinary = \"agent.sh\"\n[phases.readiness]\ntimeout = \"10s\"\n";
    let printed = run_matrix(scratch, matrix);
    let run = record::read(scratch);
    let phase = record::cell(&run, CELL).failed_phase().unwrap();
    (phase.failure().unwrap().clone(), printed)
}

/// Runs `matrix`. Returns the output.
fn run_matrix(scratch: &Scratch, matrix: &str) -> String {
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let mut command = scratch.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// What cobra prints if a command fails: first the error, and then a usage text that is longer than what reports quote
/// of a log.
const USAGE_ERROR: &str = r"/usr/bin/cat >&2 <<'END'
Error: plexd up: api: config: BaseURL is required
Usage:
  plexd up [flags]

Flags:
      --config string      path of the configuration file (required)
      --data-dir string    where the agent keeps its identity
  -h, --help               help for up

Global Flags:
      --log-level string   debug, info, warn or error
  -v, --verbose            say more

END
exit 1";

#[test]
fn the_error_before_a_usage_text_is_in_the_first_sentence_and_in_every_report() {
    let scratch = Scratch::new();
    let (failure, printed) = run(&scratch, USAGE_ERROR);
    assert_eq!(failure.symptom, Symptom::AgentCrashed, "{failure}");
    let line = "Error: plexd up: api: config: BaseURL is required";
    let words = format!("exited 3 times: its process exited with code 1: `{line}`");
    assert!(failure.message.ends_with(&words), "{failure}");
    let log = &failure.logs[0];
    // Each of the three starts prints the error.
    assert_eq!(log.lines.iter().filter(|quoted| *quoted == line).count(), 3);
    let folder = record::folder(&scratch);
    let kept = fs::read_to_string(folder.join(log.file.as_ref().unwrap())).unwrap();
    assert_eq!(kept.matches("--data-dir").count(), 3, "{kept}");
    let reports = ["junit.xml", "summary.md", "report.html"];
    let reports = reports.map(|name| fs::read_to_string(folder.join(name)).unwrap());
    for text in reports.iter().chain([&printed]) {
        assert!(text.contains("BaseURL is required"), "{text}");
        assert!(text.contains(log.file.as_ref().unwrap()), "{text}");
        assert!(!text.contains("--data-dir"), "{text}");
    }
}

#[test]
fn the_error_of_an_agent_that_does_not_become_ready_is_in_the_failure_message() {
    let scratch = Scratch::new();
    let noise = "for i in 1 2 3 4 5 6 7 8 9; do echo level=info msg=tick; done";
    let agent = format!(
        "{noise}\necho 'level=error msg=\"no route to the API\"'\n{noise}\nexec /usr/bin/sleep 600"
    );
    let (failure, _) = run(&scratch, &agent);
    assert_eq!(failure.symptom, Symptom::AgentNotReady, "{failure}");
    let words = "; its log says: `level=error msg=\"no route to the API\"`";
    assert!(failure.message.ends_with(words), "{failure}");
    // No rule applies, so no likely cause is reported.
    assert_eq!(failure.likely_cause, None);
}

#[test]
fn a_process_that_ends_without_an_error_is_reported_with_its_last_line() {
    let scratch = Scratch::new();
    let (failure, _) = run(
        &scratch,
        "echo starting; echo 'cannot read the identity'; exit 4",
    );
    let words = "exited with code 4; its last line: `cannot read the identity`";
    assert!(failure.message.ends_with(words), "{failure}");
    // No rule applies, so no likely cause is reported.
    assert_eq!(failure.likely_cause, None);
}

#[test]
fn the_cause_names_the_file_that_a_script_cannot_write_and_not_the_script() {
    let scratch = Scratch::new();
    let (failure, printed) = run(&scratch, "echo identity >/etc/plexd/identity");
    let cause = failure.likely_cause.unwrap_or_else(|| panic!("{printed}"));
    assert_eq!(
        (&*cause.rule, &*cause.message),
        (
            "read-only",
            "the agent writes to /etc/plexd/identity, which is read-only in its container"
        )
    );
}

/// A rule, the change to the shipped DaemonSet or to the agent's configuration that makes it apply, a word in its line
/// of evidence, and a word in its fix.
struct Row {
    rule: &'static str,
    pointer: &'static str,
    value: Value,
    nodes: usize,
    config: &'static str,
    line: &'static str,
    fix: &'static str,
}

fn rows() -> [Row; 6] {
    let row = |rule, pointer, value, line, fix| Row {
        rule,
        pointer,
        value,
        nodes: 1,
        config: "",
        line,
        fix,
    };
    let node_name =
        json!({"name": "MY_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    [
        row(
            "config-not-mounted",
            "/containers/0/volumeMounts/0/mountPath",
            json!("/etc/other"),
            "/etc/plexd/config.yaml",
            "mountPath: /etc/plexd\n        readOnly: true\nvolumes:\n  - name: config\n    configMap:\n      name: plexd-config",
        ),
        row(
            "config-wrong-key",
            "/volumes/0/configMap",
            json!({"name": "plexd-config", "items": [{"key": "config.yaml", "path": "other.yaml"}]}),
            "config.yaml",
            "- key: config.yaml\n          path: config.yaml",
        ),
        row(
            "no-token",
            "/containers/0/env",
            json!([node_name]),
            "no bootstrap token",
            "name: PLEXD_BOOTSTRAP_TOKEN",
        ),
        row(
            "host-name",
            "/containers/0/env/0",
            json!({"name": "MY_NODE_NAME", "value": "elsewhere"}),
            "elsewhere",
            "fieldPath: spec.nodeName",
        ),
        Row {
            nodes: 2,
            ..row(
                "taint",
                "/tolerations",
                json!([]),
                "taint",
                "- operator: Exists",
            )
        },
        Row {
            config: "[config.default.agent]\nheartbeat = { interval = \"soon\" }\n",
            ..row(
                "config-refused",
                "/dnsPolicy",
                json!("ClusterFirstWithHostNet"),
                "is not valid",
                "/manifests/06-configmaps.yaml",
            )
        },
    ]
}

#[test]
fn every_broken_manifest_and_configuration_has_its_likely_cause() {
    for row in rows() {
        let scratch = Scratch::new();
        let manifests = Manifests::shipped(scratch.path());
        let pointer = format!("/spec/template/spec{}", row.pointer);
        manifests.edit("kubernetes/daemonset.yaml", &pointer, &row.value);
        let matrix = format!(
            "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [{}]\nconfig = [\"default\"]\n[run]\nports = \"any\"\n\
             [phases.assertions]\ntimeout = \"10s\"\n{}{}",
            row.nodes,
            row.config,
            manifests.settings()
        );
        let printed = run_matrix(&scratch, &matrix);
        let run = record::read(&scratch);
        let failure = run.cells[0]
            .failed_phase()
            .and_then(|phase| phase.failure());
        let failure = failure.unwrap_or_else(|| panic!("{}: no failure: {printed}", row.rule));
        let cause = failure.likely_cause.as_ref();
        let cause = cause.unwrap_or_else(|| panic!("{}: no cause of {failure:?}", row.rule));
        let fits =
            cause.rule == row.rule && cause.line.contains(row.line) && cause.fix.contains(row.fix);
        assert!(fits, "{}: {cause:?}", row.rule);
        assert!(printed.contains("likely cause: "), "{printed}");
        for line in cause.fix.lines() {
            assert!(
                printed.contains(&format!("      {line}\n")),
                "{line}: {printed}"
            );
        }
        let folder = record::folder(&scratch);
        for name in ["junit.xml", "summary.md", "report.html"] {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            let last = cause.fix.lines().last().unwrap();
            assert!(text.contains(last.trim()), "{name}: {text}");
        }
    }
}

/// Each rule has a row in this file or in `kind::why`.
#[test]
fn every_rule_has_its_test() {
    let here = rows().into_iter().map(|row| row.rule);
    let there = kind::why::rows().into_iter().map(|row| row.rule);
    let tested: BTreeSet<&str> = here.chain(there).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(tested, rules);
}
