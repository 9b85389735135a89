//! Several agents on one axis, in one run: each cell gets its own, and the reports name the value that explains the failures.

use std::fs;
use std::process::Output;
use std::time::Duration;

use e2e_matrix::event::CellVerdict;
use e2e_matrix::record::RunModel;

use crate::support::{Scratch, record, write_program};

/// Far more than a whole run takes: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(180);

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.34", "1.35", "1.36"]
agent = ["reference", "snapshot"]

[config.default]
agent = { heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }
[agent.reference]
[agent.snapshot]
image = "plexd.example/snapshot:1"
binary = "bin/snapshot.sh"
tags = ["new"]

[[commands]]
name = "axis"
after = "readiness"
run = ["./axis.sh"]

[phases.assertions]
timeout = "10s"
[phases.local-endpoint]
run = false
[run]
provider = "local"
ports = "any"
"#;

/// The snapshot is the reference agent without its audit log, if it has a `FAULT`.
fn workplace() -> Scratch {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    fs::create_dir(place.path().join("bin")).unwrap();
    snapshot(&place, "no-audit");
    let axis = "#!/bin/sh\necho \"agent $AXIS_AGENT of $CELL\"\ncase $CELL in *-agent-$AXIS_AGENT) ;; *) exit 1;; esac\n";
    write_program(&place.path().join("axis.sh"), axis);
    place
}

fn snapshot(place: &Scratch, fault: &str) {
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    let script = format!("#!/bin/sh\nPLEXD_FAULT={fault} exec '{program}' agent \"$@\"\n");
    write_program(&place.path().join("bin/snapshot.sh"), &script);
}

fn run(place: &Scratch, arguments: &[&str]) -> Output {
    let mut command = place.command(arguments);
    command.timeout(PATIENCE).output().unwrap()
}

fn verdicts(run: &RunModel) -> Vec<(String, CellVerdict)> {
    let cells = run.cells.iter();
    cells
        .map(|cell| (cell.summary.id.to_string(), cell.verdict))
        .collect()
}

#[test]
fn two_agents_in_one_run_and_the_value_that_explains_the_failures() {
    let place = workplace();
    let output = run(&place, &[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let model = record::read(&place);
    let mut expected = Vec::new();
    for version in ["1.34", "1.35", "1.36"] {
        for (agent, verdict) in [
            ("reference", CellVerdict::Passed),
            ("snapshot", CellVerdict::Failed),
        ] {
            expected.push((format!("k8s-{version}-n1-default-agent-{agent}"), verdict));
        }
    }
    assert_eq!(verdicts(&model), expected);
    for cell in &model.cells {
        let [place] = &cell.summary.axes[..] else {
            panic!("{:?}", cell.summary)
        };
        assert_eq!(place.axis, "agent");
        assert!(cell.summary.id.as_str().ends_with(&place.value));
        let program = if place.value == "snapshot" {
            "snapshot.sh"
        } else {
            "e2e-matrix"
        };
        let facts = cell.facts.as_ref().unwrap();
        assert!(facts.agent.contains(program), "{}", facts.agent);
    }

    let line = "3 of 3 cells with agent-snapshot failed, 0 of 3 others";
    assert!(stdout.contains(&format!("{line}\n")), "{stdout}");
    let folder = record::folder(&place);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("summary.md").contains(&format!("**{line}**")));
    assert!(read("report.html").contains(line));
    let junit = read("junit.xml");
    assert_eq!(junit.matches("axes: agent = snapshot\n").count(), 3);
    assert_eq!(junit.matches("axes: agent = reference\n").count(), 3);
    assert_eq!(junit.matches(&format!("explained by: {line}\n")).count(), 3);
    assert!(read("timings.json").contains("k8s-1.34-n1-default-agent-reference"));

    snapshot(&place, "none");
    let script = fs::read_to_string(place.path().join("bin/snapshot.sh")).unwrap();
    let fixed = script.replace("PLEXD_FAULT=none ", "");
    write_program(&place.path().join("bin/snapshot.sh"), &fixed);
    let again = run(&place, &["--rerun-failed"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let rerun = record::read(&place);
    let ids: Vec<_> = verdicts(&rerun);
    assert_eq!(ids.len(), 3);
    assert!(
        ids.iter().all(|(id, _)| id.ends_with("-agent-snapshot")),
        "{ids:?}"
    );
    record::assert_nothing_else_is_left(&place, &rerun);
}

#[test]
fn filters_and_shards_select_by_the_axis() {
    let place = workplace();
    let output = run(&place, &["--filter", "agent == reference and k8s >= 1.35"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = record::read(&place);
    let expected = ["1.35", "1.36"].map(|version| {
        (
            format!("k8s-{version}-n1-default-agent-reference"),
            CellVerdict::Passed,
        )
    });
    assert_eq!(verdicts(&first), expected);
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let output = run(&place, &["--filter", "agent-reference", "--shard", shard]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        seen.extend(verdicts(&record::read(&place)));
    }
    seen.sort();
    let all = ["1.34", "1.35", "1.36"].map(|version| {
        (
            format!("k8s-{version}-n1-default-agent-reference"),
            CellVerdict::Passed,
        )
    });
    assert_eq!(seen, all);
}
