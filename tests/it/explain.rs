//! `explain` prints what a cell would get, without starting anything.

use std::fs;

use crate::support::Scratch;

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.34"]
nodes = [3]
config = ["default", "quick"]

[deploy]
agent-config = "plexd.yaml"

[config.quick]
agent = { heartbeat = { interval = "500ms" }, api = { token = "a-secret-of-mine" } }
env = { LOG_LEVEL = "debug" }
expect = { heartbeat_count = 4, drift_count = { exactly = 2 } }
kind = { networking = { ipFamily = "dual" } }

[phases.periodic]
run = false

[[checks]]
endpoint = "heartbeat"
pointer = "/timestamp"
matches = "Z$"

[[commands]]
name = "look"
after = "readiness"
run = ["/bin/true", "twice"]
"#;

const AGENT: &str = "api:\n  url: ${e2e.mock-url}\nheartbeat:\n  interval: 30s\n  jitter: 0\n";

fn prepare() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    fs::write(scratch.path().join("plexd.yaml"), AGENT).unwrap();
    scratch
}

/// What `explain` prints for `cell` on `provider`.
fn explain(scratch: &Scratch, cell: &str, provider: &str) -> String {
    let output = scratch
        .command(&["explain", cell, "--provider", provider])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of the section `title`.
fn section<'t>(text: &'t str, title: &str) -> Vec<&'t str> {
    let mut lines = text
        .lines()
        .skip_while(|line| *line != format!("## {title}"));
    lines
        .next()
        .unwrap_or_else(|| panic!("no section {title} in {text}"));
    lines
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn each_value_of_the_configuration_has_its_origin_and_secrets_are_masked() {
    let scratch = prepare();
    let text = explain(&scratch, "k8s-1.34-n3-quick", "local");
    assert_eq!(
        section(&text, "Agent configuration"),
        [
            "api.token = \"***\"  # [config.quick]",
            "api.url = \"http://mock-api.plexd-e2e:8080\"  # plexd.yaml",
            "heartbeat.interval = \"500ms\"  # [config.quick]",
            "heartbeat.jitter = 0  # plexd.yaml",
        ]
    );
    let environment = section(&text, "Environment of the agent");
    assert!(
        environment.contains(&"LOG_LEVEL = debug  # [config.quick]"),
        "{environment:?}"
    );
    assert!(!text.contains("a-secret-of-mine"), "{text}");
}

#[test]
fn expectations_are_shown_per_node_and_in_total() {
    let text = explain(&prepare(), "k8s-1.34-n3-quick", "local");
    let rows = section(&text, "Expectations");
    let row = |name: &str| -> Vec<&str> {
        let mut rows = rows.iter().filter(|row| row.starts_with(name));
        rows.next()
            .map(|row| {
                row.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .unwrap()
    };
    assert_eq!(row("heartbeat_count"), ["heartbeat_count", ">= 4", ">= 12"]);
    assert_eq!(row("drift_count"), ["drift_count", "= 2", "= 6"]);
    assert_eq!(row("audit_count"), ["audit_count", ">= 1", ">= 3"]);
}

#[test]
fn changes_of_the_matrix_file_to_the_suite_are_shown() {
    let text = explain(&prepare(), "k8s-1.34-n3-quick", "local");
    assert_eq!(
        section(&text, "Changes to the suite"),
        [
            "phase periodic is skipped",
            "check heartbeat/timestamp: /timestamp of the last heartbeat body is a string that matches `Z$`",
            "command look after readiness: /bin/true twice (timeout 1m)",
        ]
    );
}

#[test]
fn manifests_and_the_cluster_configuration_match_those_of_a_run() {
    let scratch = prepare();
    let text = explain(&scratch, "k8s-1.34-n3-quick", "kind");
    let cluster = section(&text, "Cluster configuration for kind");
    assert!(
        cluster.iter().any(|line| line.trim() == "ipFamily: dual"),
        "{cluster:?}"
    );
    assert_eq!(
        cluster
            .iter()
            .filter(|line| line.contains("role: worker"))
            .count(),
        2
    );
    let run = scratch
        .command(&["--provider", "local", "--filter", "k8s-1.34-n3-quick"])
        .output()
        .unwrap();
    assert_eq!(
        run.status.code(),
        Some(1),
        "the expectations can't be met with the default intervals"
    );
    let text = explain(&scratch, "k8s-1.34-n3-quick", "local");
    let kept = scratch
        .path()
        .join("target/e2e-matrix/latest/cells/k8s-1.34-n3-quick/manifests");
    let mut compared = 0;
    for entry in fs::read_dir(kept).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kept = fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> = kept.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(section(&text, &format!("Manifests: {name}")), kept);
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn nothing_is_started_or_written() {
    let scratch = prepare();
    explain(&scratch, "k8s-1.34-n3-default", "kind");
    let state = fs::read_dir(scratch.path().join("state")).unwrap().count();
    assert_eq!(state, 0);
    assert!(!scratch.path().join("target").exists());
}

#[test]
fn an_unknown_cell_is_an_error_that_names_the_nearest_one() {
    let scratch = prepare();
    let output = scratch
        .command(&["explain", "k8s-1.34-n3-quikc"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("`k8s-1.34-n3-quikc` is neither a cell of the matrix nor a symptom"),
        "{stderr}"
    );
    assert!(
        stderr.contains("did you mean `k8s-1.34-n3-quick`?"),
        "{stderr}"
    );
}

const AXES: &str = r#"
[matrix]
kubernetes = ["1.34"]
config = ["quick"]
runtime = ["a", "b"]
agent = ["1.3", "1.4"]

[[matrix.exclude]]
runtime = "b"
agent = "1.3"

[config.quick]
agent = { heartbeat = { interval = "500ms" }, log = "info" }
[runtime.a]
env = { RUNTIME = "a" }
[runtime.b]
tags = ["b-only"]
[agent."1.3"]
image = "plexd:1.3"
[agent."1.4"]
image = "plexd:1.4"
agent = { log = "debug" }
expect = { audit_count = "any" }
manifests = "manifests"
"#;

/// A scratch folder with [`AXES`] and separate manifests for one agent.
fn prepare_with_axes() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), AXES).unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let manifests = scratch.path().join("manifests");
    crate::support::copy(&shipped, &manifests);
    let daemon_set = fs::read_to_string(manifests.join("daemonset.yaml")).unwrap();
    let changed = daemon_set.replace(
        "kind: DaemonSet\nmetadata:\n",
        "kind: DaemonSet\nmetadata:\n  annotations: { of: new }\n",
    );
    fs::write(manifests.join("daemonset.yaml"), changed).unwrap();
    scratch
}

#[test]
fn values_of_each_axis_have_their_effect_and_their_origin() {
    let scratch = prepare_with_axes();
    let text = explain(&scratch, "k8s-1.34-n1-quick-runtime-a-agent-1.4", "kind");
    assert!(
        text.contains("\nruntime      a\nagent        1.4\n"),
        "{text}"
    );
    assert!(text.contains("\nagent image  plexd:1.4\n"), "{text}");
    assert!(text.contains("of: new"), "{text}");
    let settings = section(&text, "Agent configuration");
    assert!(
        settings.contains(&"heartbeat.interval = \"500ms\"  # [config.quick]"),
        "{settings:?}"
    );
    assert!(
        settings.contains(&"log = \"debug\"  # [agent.\"1.4\"]"),
        "{settings:?}"
    );
    let environment = section(&text, "Environment of the agent");
    assert!(
        environment.contains(&"RUNTIME = a  # [runtime.a]"),
        "{environment:?}"
    );
    let expected = section(&text, "Expectations");
    let audit = expected
        .iter()
        .find(|line| line.starts_with("audit_count"))
        .unwrap();
    assert!(audit.contains("not checked"), "{audit}");
    let other = explain(&scratch, "k8s-1.34-n1-quick-runtime-a-agent-1.3", "kind");
    assert!(
        other.contains("\nagent image  plexd:1.3\n") && !other.contains("of: new"),
        "{other}"
    );
}

#[test]
fn lists_filters_and_shards_know_the_axes() {
    let scratch = prepare_with_axes();
    let list = |arguments: &[&str]| {
        let output = scratch
            .command(&[&["list"], arguments].concat())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = list(&[]);
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "cell",
            "kubernetes",
            "nodes",
            "config",
            "runtime",
            "agent",
            "tags",
            "may",
            "fail"
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(
        json[2]["axes"],
        serde_json::json!({ "runtime": "b", "agent": "1.4" })
    );
    assert_eq!(json[2]["tags"], serde_json::json!(["b-only"]));
    for (filter, count) in [
        ("agent = 1.4", "2 of 3 cells"),
        ("agent == \"1.*\" and runtime != a", "1 of 3 cells"),
        ("agent-1.3", "1 of 3 cells"),
        ("runtime-b", "1 of 3 cells"),
    ] {
        let selected = list(&["--filter", filter]);
        assert!(selected.trim_end().ends_with(count), "{filter}: {selected}");
    }
    let shard = |index| list(&["--shard", index]).lines().count();
    assert_eq!(shard("1/2") + shard("2/2"), 3 + 2 * 3);
}
