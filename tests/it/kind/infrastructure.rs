//! Causes other than the manifests, on a cluster that was created by hand: a user who lacks a permission, and failures
//! of a node, which are infrastructure failures.

use crate::support::by_hand::{Hand, failure};
use e2e_matrix::event::{FailureClass, Symptom};
use e2e_matrix::matrix::Phase;

/// Permissions for everything except watching pods.
const PERMISSIONS: &str = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "blind"}, "rules": [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create", "update", "patch", "delete", "escalate", "bind"]},
    {"apiGroups": ["*"], "resources": ["nodes", "events", "daemonsets", "deployments", "namespaces", "customresourcedefinitions"], "verbs": ["watch"]},
    {"nonResourceURLs": ["*"], "verbs": ["get"]}]}"#;

/// Asserts that the reported cause is the missing permission to watch pods, and not an API server that doesn't respond.
fn assert_rejected_watch_is_the_cause(hand: &Hand) {
    let command = format!(
        "echo '{PERMISSIONS}' | kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -"
    );
    hand.node(&["sh", "-c", &command]);
    hand.kubectl(&["create", "serviceaccount", "blind"]);
    let bind = [
        "create",
        "clusterrolebinding",
        "blind",
        "--clusterrole=blind",
        "--serviceaccount=default:blind",
    ];
    hand.kubectl(&bind);
    let of_admin = std::fs::read(hand.kubeconfig()).unwrap();
    hand.become_account("blind");
    let failed = failure(hand).unwrap();
    std::fs::write(hand.kubeconfig(), of_admin).unwrap();
    assert_eq!(failed.phase, Phase::Readiness, "{failed:?}");
    assert_eq!(
        failed.failure.symptom,
        Symptom::BadConfiguration,
        "{failed:?}"
    );
    let cause = "pods: pods is forbidden";
    assert!(failed.failure.message.contains(cause), "{failed:?}");
    assert_eq!(failed.code, Some(2), "{failed:?}");
}

/// Runs `command` in the node. Then asserts that `phase` fails with an infrastructure failure, and that the exit code
/// matches.
fn assert_infrastructure(hand: &Hand, command: &str, phase: Phase) {
    hand.node(&["sh", "-c", command]);
    let failed = failure(hand).unwrap_or_else(|error| panic!("{command}: {error}"));
    assert_eq!(failed.phase, phase, "{command}: {failed:?}");
    let class = failed.failure.class();
    assert_eq!(class, FailureClass::Infrastructure, "{command}: {failed:?}");
    assert_eq!(failed.code, Some(3), "{command}: {failed:?}");
}

/// The failures of the node come last, because nothing repairs them.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_rejected_watch_and_failures_of_a_node_are_not_the_manifests_fault() {
    let hand = Hand::with_images();
    assert_rejected_watch_is_the_cause(&hand);
    let fill = "mount -t tmpfs -o size=4k tmpfs /var/lib/kubelet/pods && ! cat /dev/zero > /var/lib/kubelet/pods/full";
    assert_infrastructure(&hand, fill, Phase::Readiness);
    // The unmount is lazy, because the previous cell's pods may still be terminating.
    let stop = "umount --lazy /var/lib/kubelet/pods && systemctl stop kubelet";
    assert_infrastructure(&hand, stop, Phase::Readiness);
    // Without the kubelet, nothing restarts the API server.
    assert_infrastructure(&hand, "pkill -9 kube-apiserver", Phase::Preflight);
}
