//! The provider `existing` on a cluster that was created by hand: cells run, and the cluster is unchanged afterwards.

use super::kill::docker;
use crate::support::by_hand::{Hand, load_images};
use crate::support::{QUICK_AGENT, record, write_program};
use e2e_matrix::event::{CellVerdict, Execution};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::PhaseOutcome;

/// Lists everything that belongs to other users and that a run could change.
fn listing(hand: &Hand) -> String {
    let kinds = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions";
    let objects = hand.kubectl(&["get", kinds, "--output", "name"]);
    let leases = hand.kubectl(&[
        "get",
        "leases",
        "--namespace",
        "default",
        "--output",
        "name",
    ]);
    let foreign = hand.kubectl(&[
        "get",
        "configmap,plexdhooks",
        "--namespace",
        "somebody",
        "--output",
        "name",
    ]);
    let version = hand.kubectl(&[
        "get",
        "customresourcedefinition/plexdhooks.plexd.plexsphere.com",
        "--output",
        "jsonpath={.metadata.uid} {.metadata.resourceVersion}",
    ]);
    let find = "find /var/lib/plexd-e2e /var/lib/plexd /run/plexd -mindepth 1 2>/dev/null || true";
    let folders = hand.node(&["sh", "-c", find]);
    [objects, leases, foreign, version, folders].join("\n")
}

fn matrix(agent: &str, mock: &str) -> String {
    format!(
        r#"
[matrix]
kubernetes = ["1.33", "1.34"]
config = ["default", "other"]
[config.default]
agent = {QUICK_AGENT}
[config.other]
agent = {QUICK_AGENT}
[images.agent]
image = "{agent}"
[images.mock]
image = "{mock}"
[run]
ports = "any"
"#
    )
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn cells_axes_and_commands_work_on_an_existing_cluster_and_leave_it_unchanged() {
    let hand = Hand::new();
    let (agent, mock) = load_images(&hand);
    hand.wait_for_nodes();
    assert_cells_leave_it_unchanged(&hand, &matrix(&agent, &mock));
    assert_axes_and_commands_work(&hand, &agent, &mock);
}

fn assert_cells_leave_it_unchanged(hand: &Hand, matrix: &str) {
    std::fs::write(hand.scratch.path().join("matrix.toml"), matrix).unwrap();
    // The cluster already has one of the two CRDs, a namespace with somebody's ConfigMap, and a ClusterRole with the
    // agent's name.
    let definition = include_str!("../../../deploy/kubernetes/crds/plexdhook-crd.yaml");
    let file = hand.scratch.path().join("crd.yaml");
    std::fs::write(&file, definition).unwrap();
    let copy = format!("{}-control-plane:/crd.yaml", hand.name);
    docker(&["cp", file.to_str().unwrap(), &copy]);
    hand.kubectl(&["apply", "-f", "/crd.yaml"]);
    hand.kubectl(&["create", "namespace", "somebody"]);
    hand.kubectl(&["create", "configmap", "theirs", "--namespace", "somebody"]);
    hand.kubectl(&[
        "create",
        "clusterrole",
        "plexd",
        "--verb=get",
        "--resource=pods",
    ]);
    let before = listing(hand);
    let kubeconfig = std::fs::read(hand.kubeconfig()).unwrap();

    // A namespace that exists already is neither changed nor deleted.
    let theirs = [
        "--filter",
        "k8s-1.34-n1-default",
        "--cluster-name",
        "somebody",
    ];
    let (code, output) = hand.run(&theirs);
    assert_eq!(code, Some(2), "{output}");
    let message = "Namespace somebody exists already and was not created by e2e-matrix";
    assert!(output.contains(message), "{output}");
    assert_eq!(listing(hand), before);

    let (code, output) = hand.run(&[]);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains(&format!("context kind-{}", hand.name)),
        "{output}"
    );
    let run = record::read(&hand.scratch);
    for config in ["default", "other"] {
        let cell = record::cell(&run, &format!("k8s-1.34-n1-{config}"));
        assert_eq!(record::deviations(cell, None), [] as [String; 0]);
        let images = cell.phases.iter().find(|it| it.phase == Phase::Images);
        assert_eq!(images.unwrap().execution, Execution::Simulated);
        let cleanup = cell.phases.last().unwrap();
        assert_eq!(cleanup.warnings(), [] as [String; 0]);
        let other = record::cell(&run, &format!("k8s-1.33-n1-{config}"));
        assert_eq!(other.verdict, CellVerdict::Skipped);
        assert_eq!(
            other.reason.as_deref(),
            Some("cluster runs 1.34 with 1 node")
        );
    }
    assert_eq!(listing(hand), before);
    assert_eq!(std::fs::read(hand.kubeconfig()).unwrap(), kubeconfig);
    record::assert_nothing_else_is_left(&hand.scratch, &run);

    let (code, output) = hand.run(&["--filter", "k8s-1.33"]);
    assert_eq!(code, Some(4), "every cell is skipped: {output}");

    // A kept cell remains until it is deleted. Until then, other cells can't use the ports of the nodes.
    let (code, output) = hand.run(&["--filter", "k8s-1.34 and default", "--keep", "always"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("get pods"), "{output}");
    assert_ne!(listing(hand), before);
    let (code, output) = hand.run(&["--filter", "k8s-1.34 and default"]);
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("of another run exists"), "{output}");
    let gc = hand.scratch.command(&["gc", "--kept"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stdout)
    );
    assert_eq!(listing(hand), before);
}

/// Checks the cell's values in the environment, prints the agent's image and the mock's counters, and passes only for
/// `slow`.
const CHECK: &str = r#"#!/bin/sh -e
test "$CELL" = "k8s-1.34-n1-default-agent-$AXIS_AGENT-heartbeats-$AXIS_HEARTBEATS"
test "$(kubectl get nodes -o jsonpath='{.items[*].metadata.name}')" = "$NODE_NAMES"
kubectl -n "$NAMESPACE" get daemonset plexd -o jsonpath='{.spec.template.spec.containers[0].image}'
curl -fsS "$MOCK_URL/test/assertions"
test "$AXIS_HEARTBEATS" = slow
"#;

fn assert_axes_and_commands_work(hand: &Hand, agent: &str, mock: &str) {
    let other = format!("{agent}-other");
    hand.node(&[
        "ctr",
        "--namespace=k8s.io",
        "images",
        "tag",
        &full(agent),
        &full(&other),
    ]);
    // The run itself needs no programs and gets no `PATH`, so the command sets its own.
    let path = format!("PATH={}\n", std::env::var("PATH").unwrap());
    let check = CHECK.replacen('\n', &format!("\n{path}"), 1);
    write_program(&hand.scratch.path().join("check.sh"), &check);
    let matrix = format!(
        r#"
[matrix]
kubernetes = ["1.34"]
agent = ["one", "other"]
heartbeats = ["slow", "fast"]
[agent.one]
image = "{agent}"
[agent.other]
image = "{other}"
[config.default]
agent = {QUICK_AGENT}
[heartbeats.slow]
agent = {{ heartbeat = {{ interval = "1s" }} }}
[heartbeats.fast]
[images.mock]
image = "{mock}"
[phases.periodic]
run = false
[phases.restart]
run = false
[run]
ports = "any"
[[commands]]
name = "check"
after = "assertions"
run = ["./check.sh"]
"#
    );
    std::fs::write(hand.scratch.path().join("matrix.toml"), matrix).unwrap();
    let (code, output) = hand.run(&[]);
    assert_eq!(code, Some(1), "{output}");
    let line = "2 of 2 cells with heartbeats-fast failed, 0 of 2 others";
    assert!(output.contains(line), "{output}");
    let run = record::read(&hand.scratch);
    for (value, image) in [("one", agent), ("other", &other)] {
        for heartbeats in ["slow", "fast"] {
            let id = format!("k8s-1.34-n1-default-agent-{value}-heartbeats-{heartbeats}");
            let cell = record::cell(&run, &id);
            let mut phases = cell.phases.iter();
            let check = phases.find(|phase| phase.name() == "check").unwrap();
            let is_slow = heartbeats == "slow";
            assert_eq!(
                check.outcome == PhaseOutcome::Passed,
                is_slow,
                "{id}: {check:?}"
            );
            let logs = check
                .failure()
                .map_or(check.logs(), |failure| &failure.logs);
            let log = logs[0].lines.concat();
            assert!(
                log.contains(image) && log.contains("registration_count"),
                "{log}"
            );
            let failed = (!is_slow).then_some(CellVerdict::Failed);
            assert_eq!(cell.verdict, failed.unwrap_or(CellVerdict::Passed), "{id}");
        }
    }
    record::assert_nothing_else_is_left(&hand.scratch, &run);
}

/// The full name that containerd uses for an image.
fn full(image: &str) -> String {
    format!("docker.io/{image}")
}
