//! What manifests specify for a container applies to its process. What the local provider can't apply is rejected.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{STAY, Setup, TOKEN, eventually, written};
use crate::support::write_program;
use e2e_matrix::event::Symptom;

/// Writes what the process sees to a file that outlives it.
const REPORT: &str = r#"
can() { touch "$1/mine" 2>/dev/null && echo yes || echo no; }
{ echo "token=$PLEXD_BOOTSTRAP_TOKEN"; echo "node=$MY_NODE_NAME"; echo "health=$PLEXD_HEALTH_ADDR";
  echo "greeting=$GREETING"; echo "cargo=$CARGO"; echo "host=$(uname -n)"; echo "id=$$$$";
  for d in / /tmp /run /etc /etc/plexd /var/run/plexd; do echo "write $d=$(can $d)"; done
  echo "mock=$(grep mock-api.plexd-e2e.svc /etc/hosts)";
  cat "$1"; echo end; } > "$DATA/report"
trap 'exit 0' TERM
sleep 600 &
wait
"#;

fn reporting() -> Setup {
    Setup::agent(REPORT).with(
        "          env:\n",
        "          env:\n            - {name: DATA, value: /var/lib/plexd}\n            - {name: GREETING, value: 'to $(DATA), $$(DATA)'}\n",
    )
}

#[tokio::test]
async fn a_process_runs_as_its_manifest_specifies() {
    let lab = reporting().with_nodes(2).lab().await;
    lab.ready().await.unwrap();
    let report = written(&lab.host(1, "/var/lib/plexd/report")).await;
    let line = |key: &str| {
        let mut lines = report.lines();
        let line = lines.find(|line| line.trim_start().starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in {report}"))
            .trim()[key.len()..]
            .to_owned()
    };
    assert_eq!(line("token="), TOKEN);
    assert_eq!(line("node="), "test-worker");
    assert_eq!(line("host="), "test-worker");
    assert_eq!(line("id="), "1", "the process must see no other process");
    assert_eq!(line("greeting="), "to /var/lib/plexd, $(DATA)");
    assert_eq!(
        line("cargo="),
        "",
        "the process must not inherit the runner's environment"
    );
    // The configuration is exactly the manifest's.
    assert_eq!(line("base_url: "), "http://mock-api.plexd-e2e:8080");
    assert_eq!(line("url: "), "https://mock-api.plexd-e2e:8443/local/audit");
    assert_eq!(line("data_dir: "), "/var/lib/plexd");
    let health = line("health=");
    assert!(
        health.starts_with("127.") && health.ends_with(":9100"),
        "{health}"
    );
    assert!(line("mock=").starts_with("127."), "{report}");
    // The manifest makes the root read-only, and ConfigMaps are always read-only.
    for folder in ["/", "/tmp", "/run", "/etc", "/etc/plexd"] {
        assert_eq!(line(&format!("write {folder}=")), "no", "{folder}");
    }
    assert_eq!(line("write /var/run/plexd="), "yes");
    assert!(lab.host(1, "/var/run/plexd/mine").exists());
    lab.destroy().await;
}

#[tokio::test]
async fn a_projected_volume_has_the_files_that_need_no_api_server() {
    let script = "cd /etc/plexd; { find . -type f; cat pod/labels; echo; echo end; } > /var/lib/plexd/report";
    let lab = Setup::agent(&format!("{script}; {STAY}"))
        .with(
            "          configMap:\n            name: plexd-config\n",
            "          projected:\n            sources:\n              \
             - configMap: {name: plexd-config}\n              \
             - downwardAPI: {items: [{path: pod/labels, fieldRef: {fieldPath: metadata.labels}}]}\n              \
             - serviceAccountToken: {path: token}\n",
        )
        .lab()
        .await;
    lab.ready().await.unwrap();
    let report = written(&lab.host(0, "/var/lib/plexd/report")).await;
    let lines: BTreeSet<&str> = report.lines().collect();
    let expected = [
        "./config.yaml",
        "./pod/labels",
        "app.kubernetes.io/name=\"plexd\"",
        "app.kubernetes.io/part-of=\"plexsphere\"",
        "end",
    ];
    assert_eq!(lines, expected.into());
    let files = lab.cluster.diagnostics(&lab.deadline()).await;
    let note = "the volume `config` has only its Secrets, ConfigMaps and downward API";
    assert!(files.iter().any(|file| file.text.contains(note)));
    lab.destroy().await;
}

#[tokio::test]
async fn a_program_in_a_private_folder_is_found_through_links_and_parent_folders() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    write_program(
        &folder.path().join("agent"),
        "#!/bin/sh\nexec /bin/sh \"$@\"\n",
    );
    fs::create_dir(folder.path().join("other")).unwrap();
    symlink("agent", folder.path().join("link")).unwrap();
    for path in ["link", "other/../agent"] {
        let setup = Setup::agent(&format!("echo end > /var/lib/plexd/report; {STAY}"));
        let lab = setup.with_program(folder.path().join(path)).lab().await;
        lab.ready().await.unwrap();
        written(&lab.host(0, "/var/lib/plexd/report")).await;
        lab.destroy().await;
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("agent");
    write_program(&program, "#!/nowhere/sh\n");
    let lab = Setup::agent(STAY).with_program(program).lab().await;
    let failure = lab.ready().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::ProcessFailed);
    assert!(failure.message.contains("failed to start"), "{failure}");
    lab.destroy().await;
}

#[tokio::test]
async fn limits_and_requests_are_available_as_variables_and_files() {
    let resource = "{containerName: plexd, resource: requests.memory, divisor: 1Mi}";
    let lab = Setup::agent(&format!(
        "{{ echo $PROCESSORS; cat /var/run/plexd/memory; echo; echo end; }} > /var/lib/plexd/report; {STAY}"
    ))
    .with(
        "          env:\n",
        "          env:\n            - {name: PROCESSORS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}\n",
    )
    .with(
        "          hostPath:\n            path: /var/run/plexd\n            type: DirectoryOrCreate\n",
        &format!("          downwardAPI: {{items: [{{path: memory, resourceFieldRef: {resource}}}]}}\n"),
    )
    .lab()
    .await;
    lab.ready().await.unwrap();
    let report = written(&lab.host(0, "/var/lib/plexd/report")).await;
    assert_eq!(report, "1\n64\nend\n");
    lab.destroy().await;
}

#[tokio::test]
async fn a_root_that_is_not_read_only_is_private() {
    let lab = reporting()
        .with(
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
        )
        .lab()
        .await;
    lab.ready().await.unwrap();
    let report = written(&lab.host(0, "/var/lib/plexd/report")).await;
    for folder in ["/", "/tmp", "/run", "/etc"] {
        assert!(report.contains(&format!("write {folder}=yes")), "{report}");
        assert!(!std::path::Path::new(folder).join("mine").exists());
    }
    assert!(report.contains("write /etc/plexd=no"), "{report}");
    lab.destroy().await;
}

#[tokio::test]
async fn logs_are_private_and_without_tokens() {
    let lab = Setup::agent(&format!(
        "echo out $PLEXD_BOOTSTRAP_TOKEN; echo err >&2; echo end; {STAY}"
    ))
    .lab()
    .await;
    lab.ready().await.unwrap();
    let node = lab.node(0);
    let log = eventually(async || {
        let log = lab.cluster.logs(Some(&node)).await[0].text();
        log.contains("end").then_some(log)
    });
    let log = log.await;
    assert!(log.contains("out ***\n") && log.contains("err\n"), "{log}");
    let logs = std::fs::read_dir(lab.plan.runtime.join("logs")).unwrap();
    let mode = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().metadata().unwrap().permissions().mode() & 0o777
    };
    let modes: BTreeSet<u32> = logs.map(mode).collect();
    assert_eq!(modes, [0o600].into());
    let logs = lab.cluster.logs(Some(&lab.node(0))).await;
    assert_eq!(logs[0].source.to_string(), "plexd on test-control-plane");
    assert_eq!(logs[0].processes.len(), 1);
    lab.destroy().await;
}

#[tokio::test]
async fn an_agent_that_cannot_be_scheduled_on_the_control_plane_is_rejected() {
    let lab = Setup::agent(STAY)
        .with(
            "        - operator: Exists\n",
            "        - {key: other, operator: Exists}\n",
        )
        .with_nodes(3)
        .lab()
        .await;
    let failure = lab.apply().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::Unschedulable);
    assert!(failure.message.contains("test-control-plane"), "{failure}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_volume_that_local_does_not_support_is_rejected() {
    let lab = Setup::agent(STAY)
        .with("          hostPath:\n            path: /var/run/plexd\n            type: DirectoryOrCreate\n", "          persistentVolumeClaim: {claimName: x}\n")
        .lab()
        .await;
    let failure = lab.apply().await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::ContainerConfig);
    lab.destroy().await;
}
