//! Several agents on one axis, in one run: each cell gets its own agent, and the reports name the value that explains
//! the failures.

use std::fs;
use std::process::Output;
use std::time::Duration;

use e2e_matrix::event::CellVerdict;
use e2e_matrix::record::RunModel;

use crate::support::{Scratch, record, write_program};

/// Far longer than a whole run should take; a run that hangs is killed and its output is shown.
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

/// A scratch folder in which the agent `snapshot` is the reference agent with the fault `no-audit`.
fn prepare() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    fs::create_dir(scratch.path().join("bin")).unwrap();
    snapshot(&scratch, "no-audit");
    let axis = "#!/bin/sh\necho \"agent $AXIS_AGENT of $CELL\"\ncase $CELL in *-agent-$AXIS_AGENT) ;; *) exit 1;; esac\n";
    write_program(&scratch.path().join("axis.sh"), axis);
    scratch
}

fn snapshot(scratch: &Scratch, fault: &str) {
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    let script = format!("#!/bin/sh\nPLEXD_FAULT={fault} exec '{program}' agent \"$@\"\n");
    write_program(&scratch.path().join("bin/snapshot.sh"), &script);
}

fn run(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = scratch.command(arguments);
    command.timeout(PATIENCE).output().unwrap()
}

fn verdicts(run: &RunModel) -> Vec<(String, CellVerdict)> {
    let cells = run.cells.iter();
    cells
        .map(|cell| (cell.summary.id.to_string(), cell.verdict))
        .collect()
}

#[test]
fn two_agents_run_side_by_side_and_the_reports_name_the_failing_one() {
    let scratch = prepare();
    let output = run(&scratch, &[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let model = record::read(&scratch);
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
        let [value] = &cell.summary.axes[..] else {
            panic!("{:?}", cell.summary)
        };
        assert_eq!(value.axis, "agent");
        assert!(cell.summary.id.as_str().ends_with(&value.value));
        let program = if value.value == "snapshot" {
            "snapshot.sh"
        } else {
            "e2e-matrix"
        };
        let facts = cell.facts.as_ref().unwrap();
        assert!(facts.agent.contains(program), "{}", facts.agent);
    }

    let line = "3 of 3 cells with agent-snapshot failed, 0 of 3 others";
    assert!(stdout.contains(&format!("{line}\n")), "{stdout}");
    let folder = record::folder(&scratch);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("summary.md").contains(&format!("**{line}**")));
    assert!(read("report.html").contains(line));
    let junit = read("junit.xml");
    assert_eq!(junit.matches("axes: agent = snapshot\n").count(), 3);
    assert_eq!(junit.matches("axes: agent = reference\n").count(), 3);
    let property = "<property name=\"agent\" value=\"snapshot\"/>";
    assert_eq!(junit.matches(property).count(), 3);
    assert_eq!(junit.matches(&format!("explained by: {line}\n")).count(), 3);
    assert!(read("timings.json").contains("k8s-1.34-n1-default-agent-reference"));

    snapshot(&scratch, "none");
    let script = fs::read_to_string(scratch.path().join("bin/snapshot.sh")).unwrap();
    let fixed = script.replace("PLEXD_FAULT=none ", "");
    write_program(&scratch.path().join("bin/snapshot.sh"), &fixed);
    let again = run(&scratch, &["--rerun-failed"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let rerun = record::read(&scratch);
    let ids: Vec<_> = verdicts(&rerun);
    assert_eq!(ids.len(), 3);
    assert!(
        ids.iter().all(|(id, _)| id.ends_with("-agent-snapshot")),
        "{ids:?}"
    );
    record::assert_nothing_else_is_left(&scratch, &rerun);
}

#[test]
fn filters_and_shards_select_by_the_axis() {
    let scratch = prepare();
    let output = run(
        &scratch,
        &["--filter", "agent == reference and k8s >= 1.35"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = record::read(&scratch);
    let expected = ["1.35", "1.36"].map(|version| {
        (
            format!("k8s-{version}-n1-default-agent-reference"),
            CellVerdict::Passed,
        )
    });
    assert_eq!(verdicts(&first), expected);
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let output = run(&scratch, &["--filter", "agent-reference", "--shard", shard]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        seen.extend(verdicts(&record::read(&scratch)));
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
