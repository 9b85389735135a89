//! Failures below the level of the manifests are infrastructure failures, on real clusters as well.

use crate::support::by_hand::{Hand, failure};
use e2e_matrix::event::FailureClass;
use e2e_matrix::matrix::Phase;

/// Runs `command` in the node. Then `phase` must fail with an infrastructure failure, and the exit code must match.
fn assert_infrastructure(hand: &Hand, command: &str, phase: Phase) {
    hand.node(&["sh", "-c", command]);
    let failed = failure(hand, "").unwrap_or_else(|error| panic!("{command}: {error}"));
    assert_eq!(failed.phase, phase, "{command}: {failed:?}");
    let class = failed.failure.class();
    assert_eq!(class, FailureClass::Infrastructure, "{command}: {failed:?}");
    assert_eq!(failed.code, Some(3), "{command}: {failed:?}");
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_full_disk_a_stopped_kubelet_and_a_killed_api_server_are_not_the_manifests_fault() {
    let hand = Hand::with_images();
    let fill = "mount -t tmpfs -o size=4k tmpfs /var/lib/kubelet/pods && ! cat /dev/zero > /var/lib/kubelet/pods/full";
    assert_infrastructure(&hand, fill, Phase::Readiness);
    // Lazily, because the previous cell's pods may still be ending.
    let stop = "umount --lazy /var/lib/kubelet/pods && systemctl stop kubelet";
    assert_infrastructure(&hand, stop, Phase::Readiness);
    // Without the kubelet, nothing restarts the API server.
    assert_infrastructure(&hand, "pkill -9 kube-apiserver", Phase::Preflight);
}
