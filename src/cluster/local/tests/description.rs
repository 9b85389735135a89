//! What manifests say of a container reaches its process; what can't be carried out is refused.

use std::os::unix::fs::PermissionsExt;

use super::{Setup, TOKEN, eventually, written};
use crate::event::Symptom;

/// Writes down what the process sees, into the folder that outlives it.
const TELL: &str = r#"
d="$DATA"
{ echo "token=$PLEXD_BOOTSTRAP_TOKEN"; echo "node=$MY_NODE_NAME"; echo "health=$PLEXD_HEALTH_ADDR";
  echo "greeting=$GREETING"; echo "home=$HOME"; echo "cargo=$CARGO"; echo "config=$1"; cat "$1"; echo end; } > "$d/told"
exec sleep 600
"#;

fn telling() -> Setup {
    Setup::agent(TELL).with(
        "          env:\n",
        "          env:\n            - {name: DATA, value: /var/lib/plexd}\n            - {name: GREETING, value: 'to $(DATA), $$(DATA)'}\n",
    )
}

#[tokio::test]
async fn a_process_gets_what_its_manifest_says() {
    let lab = telling().with_nodes(2).lab();
    lab.ready().await.unwrap();
    let told = written(&lab.host(1, "/var/lib/plexd/told")).await;
    let line = |key: &str| {
        let mut lines = told.lines();
        let line = lines.find(|line| line.trim_start().starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in {told}")).trim()[key.len()..].to_owned()
    };
    let data = lab.host(1, "/var/lib/plexd").display().to_string();
    assert_eq!(line("token="), TOKEN);
    assert_eq!(line("node="), "test-worker");
    assert_eq!(line("health="), "127.0.0.1:0");
    assert_eq!(line("greeting="), "to /var/lib/plexd, $(DATA)");
    assert_eq!(
        line("cargo="),
        "",
        "nothing of the runner's own environment"
    );
    assert_eq!(line("base_url: "), "http://127.0.0.1:1");
    assert_eq!(line("url: "), "https://127.0.0.1:2/local/audit");
    assert_eq!(line("data_dir: "), data);
    let config = line("config=");
    let mode = std::fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    lab.destroy().await;
}

#[tokio::test]
async fn logs_are_private_and_without_tokens() {
    let lab =
        Setup::agent("echo out $PLEXD_BOOTSTRAP_TOKEN; echo err >&2; echo end; exec sleep 600")
            .lab();
    lab.ready().await.unwrap();
    let node = lab.node(0);
    let log = eventually(async || {
        let log = lab.cluster.agent_log(&node).await.unwrap();
        log.contains("end").then_some(log)
    });
    let log = log.await;
    assert!(log.contains("out ***\n") && log.contains("err\n"), "{log}");
    let logs = std::fs::read_dir(lab.plan.runtime.join("logs")).unwrap();
    for entry in logs {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let logs = lab.cluster.logs(Some(&lab.node(0))).await;
    assert_eq!(logs[0].source, "plexd on test-control-plane");
    assert_eq!(logs[0].processes.len(), 1);
    lab.destroy().await;
}

#[tokio::test]
async fn an_agent_that_tolerates_no_taint_misses_the_control_plane() {
    let lab = Setup::agent("exec sleep 600")
        .with(
            "        - operator: Exists\n",
            "        - {key: other, operator: Exists}\n",
        )
        .with_nodes(3)
        .lab();
    let failure = lab.apply().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::Unschedulable);
    assert!(failure.message.contains("test-control-plane"), "{failure}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_volume_that_no_process_can_have_is_refused() {
    let lab = Setup::agent("exec sleep 600")
        .with("          hostPath:\n            path: /var/run/plexd\n            type: DirectoryOrCreate\n", "          persistentVolumeClaim: {claimName: x}\n")
        .lab();
    let failure = lab.apply().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::ContainerConfig);
    lab.destroy().await;
}
