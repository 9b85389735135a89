//! Likely causes that only a cluster can show: broken manifests on a real cluster, each with the rule that must apply.

use e2e_matrix::event::{Failure, Symptom};
use serde_json::{Value, json};

use crate::support::cases::Cases;

/// A rule, the changes to the agent's DaemonSet that make it apply, a word in its line of evidence, and a word in its
/// fix.
pub(crate) struct Row {
    pub(crate) rule: &'static str,
    edits: Vec<(&'static str, Value)>,
    line: &'static str,
    fix: &'static str,
}

const POD: &str = "/spec/template/spec";
const PLEXD: &str = "/spec/template/spec/containers/0";

pub(crate) fn rows() -> Vec<Row> {
    let init = |policy: &str| {
        let image = "registry.invalid/nowhere:1";
        json!([{"name": "prepare", "image": image, "imagePullPolicy": policy}])
    };
    // The node's own kubectl stands in for an agent that lists objects without the permission to do so.
    let kubectl = || {
        vec![
            ("PLEXD/command", json!(["/host/kubectl"])),
            ("PLEXD/args", json!(["get", "deployments"])),
            ("POD/automountServiceAccountToken", json!(true)),
            (
                "POD/volumes/2/hostPath",
                json!({"path": "/usr/bin", "type": "Directory"}),
            ),
            (
                "PLEXD/volumeMounts/2",
                json!({"name": "run", "mountPath": "/host", "readOnly": true}),
            ),
        ]
    };
    let mut large = kubectl();
    large.push(("PLEXD/resources", json!({"limits": {"memory": "12Mi"}})));
    vec![
        Row {
            rule: "dns-policy",
            edits: vec![("POD/dnsPolicy", json!("ClusterFirst"))],
            line: "mock-api",
            fix: "dnsPolicy: ClusterFirstWithHostNet",
        },
        Row {
            rule: "read-only",
            edits: vec![("PLEXD/volumeMounts/1/readOnly", json!(true))],
            line: "Read-only file system",
            fix: "mountPath: /var/lib/plexd",
        },
        Row {
            rule: "image-not-on-node",
            edits: vec![("POD/initContainers", init("Never"))],
            line: "registry.invalid/nowhere:1",
            fix: "image: registry.invalid/nowhere:1\nimagePullPolicy: IfNotPresent",
        },
        Row {
            rule: "pull-policy",
            edits: vec![("POD/initContainers", init("Always"))],
            line: "registry.invalid/nowhere:1",
            fix: "image: registry.invalid/nowhere:1\nimagePullPolicy: IfNotPresent",
        },
        Row {
            rule: "requests-too-large",
            edits: vec![("PLEXD/resources", json!({"requests": {"memory": "900Gi"}}))],
            line: "Insufficient memory",
            fix: "requests:",
        },
        // The pods of these rows mount a folder of the node, so their clusters aren't reused.
        Row {
            rule: "rbac",
            edits: kubectl(),
            line: "cannot list resource \"deployments\"",
            fix: "apiGroups: [\"apps\"]\n    resources: [\"deployments\"]\n    verbs: [\"list\"]",
        },
        Row {
            rule: "memory-limit",
            edits: large,
            line: "more memory than its limit",
            fix: "memory: 256Mi",
        },
    ]
}

#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn every_broken_manifest_has_its_likely_cause() {
    let mut cases = Cases::new(1, "");
    let rows = rows();
    for row in &rows {
        let manifests = cases.add(row.rule);
        for (pointer, value) in &row.edits {
            let pointer = pointer.replace("PLEXD", PLEXD).replace("POD", POD);
            manifests.edit("kubernetes/daemonset.yaml", &pointer, value);
        }
    }
    let tables = "[phases.assertions]\ntimeout = \"10s\"\n";
    cases.run(tables, |case, _, failure| {
        is_as_expected(&rows[case], failure)
    });
}

fn is_as_expected(row: &Row, failure: &Failure) -> bool {
    let Some(cause) = &failure.likely_cause else {
        return false;
    };
    // The message of a crash quotes the line in its first sentence.
    let is_crash = failure.symptom == Symptom::AgentCrashed;
    let is_quoted = !is_crash || failure.message.contains(&format!(": `{}`", cause.line));
    cause.rule == row.rule
        && cause.line.contains(row.line)
        && cause.fix.contains(row.fix)
        && is_quoted
}
