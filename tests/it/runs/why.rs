//! Why an agent failed: the line of its log that says it, in the failure's first sentence and in every report.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use e2e_matrix::event::{Failure, Symptom};

use crate::support::{Scratch, record};

/// Far longer than the run takes.
const PATIENCE: Duration = Duration::from_secs(180);
const CELL: &str = "k8s-1.36-n1-default";

/// Runs one cell whose agent is the shell script `agent`. Returns its failure and what was printed.
fn run(place: &Scratch, agent: &str) -> (Failure, String) {
    let script = place.path().join("agent.sh");
    fs::write(&script, format!("#!/bin/sh\n{agent}\n")).unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    let matrix = "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"default\"]\n[run]\nports = \"any\"\n\
        [images.agent]\ntag = \"agent.example/mine:1\"\nbinary = \"agent.sh\"\n[phases.readiness]\ntimeout = \"10s\"\n";
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    let mut command = place.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let run = record::read(place);
    let phase = record::cell(&run, CELL).red_phase().unwrap();
    (phase.failure().unwrap().clone(), printed)
}

/// What cobra prints if a command fails: the error first, and then more usage text than reports have room for.
const REFUSES: &str = r"/usr/bin/cat >&2 <<'END'
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
    let place = Scratch::new();
    let (failure, printed) = run(&place, REFUSES);
    assert_eq!(failure.symptom, Symptom::AgentCrashed, "{failure}");
    let line = "Error: plexd up: api: config: BaseURL is required";
    let words = format!("ended 3 times: its process ended with exit code 1: `{line}`");
    assert!(failure.message.ends_with(&words), "{failure}");
    let log = &failure.logs[0];
    // Each of the three starts says it.
    assert_eq!(log.lines.iter().filter(|quoted| *quoted == line).count(), 3);
    let folder = record::folder(&place);
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
fn the_error_of_an_agent_that_does_not_become_ready_is_in_its_sentence() {
    let place = Scratch::new();
    let noise = "for i in 1 2 3 4 5 6 7 8 9; do echo level=info msg=tick; done";
    let agent = format!(
        "{noise}\necho 'level=error msg=\"no route to the API\"'\n{noise}\nexec /usr/bin/sleep 600"
    );
    let (failure, _) = run(&place, &agent);
    assert_eq!(failure.symptom, Symptom::AgentNotReady, "{failure}");
    let words = "; its log says: `level=error msg=\"no route to the API\"`";
    assert!(failure.message.ends_with(words), "{failure}");
}

#[test]
fn a_process_that_ends_without_an_error_is_told_with_its_last_line() {
    let place = Scratch::new();
    let (failure, _) = run(
        &place,
        "echo starting; echo 'cannot read the identity'; exit 4",
    );
    let words = "exit code 4; its last line: `cannot read the identity`";
    assert!(failure.message.ends_with(words), "{failure}");
}
