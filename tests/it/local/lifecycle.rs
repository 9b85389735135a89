//! The lifecycle of a cell: starting processes, crashes, probes, restarts, and destroying the cell.

use std::time::Duration;

use tokio::sync::SetOnce;

use super::{Lab, RUNNER, STAY, Setup, eventually, written};
use crate::support::listeners::listeners;
use e2e_matrix::cluster::NodeName;
use e2e_matrix::event::{Failure, Symptom};
use e2e_matrix::excerpt::ProcessOutput;

/// Waits until the agent has crashed too many times, and returns the failure.
async fn crash(lab: &Lab) -> Failure {
    let failure = broken(lab).await;
    assert_eq!(failure.symptom, Symptom::AgentCrashed);
    failure
}

async fn broken(lab: &Lab) -> Failure {
    lab.apply().await.unwrap();
    lab.cluster.broken().await
}

#[tokio::test]
async fn a_crashing_agent_fails_without_waiting_for_the_deadline() {
    let lab = Setup::agent("echo good bye >&2; exit 7")
        .with_nodes(3)
        .lab()
        .await;
    let failure = crash(&lab).await;
    assert!(
        failure
            .message
            .ends_with("exited 3 times: its process exited with code 7"),
        "{failure}"
    );
    let has_failed = |node: &NodeName| failure.message.contains(&format!("{node} "));
    let failed = (0..3).map(|index| lab.node(index)).find(has_failed);
    let logs = lab.cluster.logs(failed.as_ref()).await;
    assert_eq!(logs[0].processes, ["good bye\n"; 3].map(ProcessOutput::of));
    let failure = lab.cluster.agents_ready(&lab.deadline()).await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::AgentCrashed);
    lab.destroy().await;
}

#[tokio::test]
async fn exits_that_are_allowed_after_readiness_are_not_allowed_before_it() {
    let lab = Setup::agent("exit 7").with_restarts(5).lab().await;
    let failure = crash(&lab).await;
    assert!(failure.message.contains("exited 3 times"), "{failure}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_mock_that_exits_fails_without_waiting_for_the_deadline() {
    let lab = Setup::agent(STAY)
        .with_mock("echo no >&2; exit 3")
        .lab()
        .await;
    let failure = lab.ready().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::MockUnavailable);
    let logs = lab.cluster.logs(None).await;
    assert_eq!(logs.last().unwrap().text(), "no\n");
    lab.destroy().await;
}

/// Records each start of the process in a volume that outlives the pod, and in one that does not.
const COUNT: &str = r#"
echo start >> "$DATA/starts"; echo start >> "$SCRATCH/starts"
{ cat "$DATA/starts"; echo --; cat "$SCRATCH/starts"; echo "end"; } > "$DATA/report.new"
mv "$DATA/report.new" "$DATA/report"
trap 'exit 0' TERM
sleep 600 &
wait
"#;

#[tokio::test]
async fn a_restart_keeps_host_paths_and_wipes_empty_volumes() {
    let lab = Setup::agent(COUNT)
        .with("          env:\n", "          env:\n            - {name: DATA, value: /var/lib/plexd}\n            - {name: SCRATCH, value: /scratch}\n")
        .with("          volumeMounts:\n", "          volumeMounts:\n            - {name: scratch, mountPath: /scratch}\n")
        .with("      volumes:\n", "      volumes:\n        - {name: scratch, emptyDir: {}}\n")
        .with_nodes(2)
        .lab()
        .await;
    lab.ready().await.unwrap();
    let report = lab.host(1, "/var/lib/plexd/report");
    assert_eq!(written(&report).await, "start\n--\nstart\nend\n");
    std::fs::remove_file(&report).unwrap();
    let restarted = lab
        .cluster
        .restart(&[lab.node(1)], &SetOnce::new(), &lab.deadline())
        .await
        .unwrap();
    assert_eq!(restarted.len(), 1);
    assert_eq!(restarted[0].node.as_deref(), Some("test-worker"));
    assert_eq!(written(&report).await, "start\nstart\n--\nstart\nend\n");
    lab.destroy().await;
}

#[tokio::test]
async fn a_restart_says_when_the_deleted_agents_have_ended() {
    let slow = r#"trap 'sleep 1; touch "$DATA/ended"; exit 0' TERM; sleep 600 & echo end > "$DATA/report"; wait"#;
    let lab = Setup::agent(slow)
        .with(
            "          env:\n",
            "          env:\n            - {name: DATA, value: /var/lib/plexd}\n",
        )
        .with_nodes(2)
        .lab()
        .await;
    lab.ready().await.unwrap();
    // Agents without probes are ready before their shell handles SIGTERM.
    for index in [0, 1] {
        written(&lab.host(index, "/var/lib/plexd/report")).await;
    }
    let (nodes, ended, deadline) = (lab.cluster.nodes(), SetOnce::new(), lab.deadline());
    let restarting = lab.cluster.restart(&nodes, &ended, &deadline);
    let checking = async {
        ended.wait().await;
        for index in [0, 1] {
            assert!(lab.host(index, "/var/lib/plexd/ended").exists());
        }
    };
    let (restarted, ()) = tokio::join!(restarting, checking);
    restarted.unwrap();
    lab.destroy().await;
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_with_its_children() {
    let stubborn = "trap '' TERM; sleep 600 & echo end; while :; do wait; done";
    let lab = Setup::agent(stubborn)
        .with(
            "terminationGracePeriodSeconds: 10",
            "terminationGracePeriodSeconds: 1",
        )
        .lab()
        .await;
    lab.ready().await.unwrap();
    lab.destroy().await;
}

#[tokio::test]
async fn a_cell_can_be_destroyed_at_any_point() {
    let lab = Setup::agent(STAY).with_nodes(5).lab().await;
    lab.destroy().await;
    let lab = Setup::agent(STAY).with_nodes(5).lab().await;
    lab.apply().await.unwrap();
    lab.destroy().await;
    let lab = Setup::agent(STAY).with_nodes(5).lab().await;
    lab.ready().await.unwrap();
    let nodes = lab.cluster.nodes();
    let deadline = lab.deadline();
    let ended = SetOnce::new();
    // The restart has begun when its future is dropped.
    let restart = lab.cluster.restart(&nodes, &ended, &deadline);
    assert!(futures::FutureExt::now_or_never(restart).is_none());
    lab.destroy().await;
}

#[tokio::test]
async fn probes_call_the_address_of_their_node() {
    let lab = Setup::agent(&healthy())
        .with_probes()
        .with_nodes(3)
        .lab()
        .await;
    lab.ready().await.unwrap();
    lab.destroy().await;
}

#[tokio::test]
async fn the_failure_says_which_agent_is_not_ready_and_why() {
    let lab = Setup::agent(&healthy())
        .with("path: /readyz", "path: /no-such-path")
        .with_probes()
        .lab()
        .await;
    lab.apply().await.unwrap();
    // The agent needs a moment until it listens and is probed.
    let failure = eventually(async || {
        let deadline = lab.plan.clock.deadline(Duration::from_millis(500));
        let failure = lab.cluster.agents_ready(&deadline).await.unwrap_err();
        failure.message.contains("returned").then_some(failure)
    });
    let failure = failure.await;
    assert_eq!(failure.symptom, Symptom::AgentNotReady);
    assert_eq!(
        failure.message,
        "the agent on test-control-plane is not ready: Running: readiness probe: /no-such-path returned 404; timed out after 500ms"
    );
    lab.destroy().await;
}

#[tokio::test]
async fn a_failing_liveness_probe_ends_the_process() {
    let lab = Setup::agent(&healthy())
        .with(
            "          livenessProbe:\n            httpGet:\n              path: /healthz",
            "          livenessProbe:\n            httpGet:\n              path: /no-such-path",
        )
        .with(
            "            failureThreshold: 15",
            "            failureThreshold: 1",
        )
        .with_probes()
        .lab()
        .await;
    let failure = broken(&lab).await;
    assert_eq!(failure.symptom, Symptom::AgentUnhealthy);
    assert!(
        failure
            .message
            .contains("liveness probe: /no-such-path returned 404"),
        "{failure}"
    );
    lab.destroy().await;
}

#[tokio::test]
async fn the_mock_can_be_reached_at_the_reserved_port() {
    let script = format!("exec '{RUNNER}' mockapi --addr \"$0\" --tls-addr 127.0.0.1:0");
    let lab = Setup::agent(STAY).with_mock(&script).lab().await;
    lab.ready().await.unwrap();
    let address = lab.cluster.connect(&lab.deadline()).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request)
        .await
        .unwrap();
    let mut response = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut response)
        .await
        .unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(lab.cluster.connect(&lab.deadline()).await.unwrap(), address);
    let listener = listeners()[&address];
    lab.destroy().await;
    assert!(!listeners().values().any(|inode| *inode == listener));
}

#[tokio::test]
async fn diagnostics_list_pods_and_events() {
    let lab = Setup::agent(&format!("echo hello; {STAY}"))
        .with_nodes(2)
        .lab()
        .await;
    lab.ready().await.unwrap();
    let files = lab.cluster.diagnostics(&lab.deadline()).await;
    let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    assert_eq!(names, ["pods.txt", "daemonset.txt"]);
    assert_eq!(
        files[0].text.matches("1/1    Running").count(),
        3,
        "{}",
        files[0].text
    );
    assert!(files[1].text.contains("Pods:       2 current / 2 ready"));
    assert!(files[1].text.contains("Started"));
    lab.destroy().await;
}

/// An agent with health endpoints: the mock acts as the agent, because its endpoints have the same paths.
fn healthy() -> String {
    format!("exec '{RUNNER}' mockapi --addr \"$PLEXD_HEALTH_ADDR\" --tls-addr 127.0.0.1:0")
}

#[tokio::test]
async fn a_process_that_cannot_be_started_is_not_the_agents_fault() {
    let lab = Setup::agent(STAY)
        .with(
            "            - name: data\n              mountPath: /var/lib/plexd\n",
            "            - {name: data, mountPath: /var/lib/plexd, subPath: taken/below}\n",
        )
        .lab()
        .await;
    lab.cluster.up(&lab.deadline()).await.unwrap();
    // A file at a path where a folder has to be created.
    let data = lab.host(0, "/var/lib/plexd");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("taken"), "").unwrap();
    lab.cluster.manifests(&lab.deadline()).await.unwrap();
    let failure = lab.cluster.broken().await;
    assert_eq!(failure.symptom, Symptom::ProcessFailed);
    assert!(
        failure.message.contains("this machine can't run the agent"),
        "{failure}"
    );
    lab.destroy().await;
}
