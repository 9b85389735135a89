//! One cluster for several cells, one after another: each verdict is the same as on a fresh cluster, and nothing is
//! left behind.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::faults;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::manifests::Manifests;
use crate::support::{QUICK_AGENT, Scratch, quick_matrix, record};
use e2e_matrix::event::CellVerdict;
use e2e_matrix::record::model::PhaseModel;
use e2e_matrix::record::{FILE_NAME, RunModel};

/// Far longer than the cells need.
const PATIENCE: Duration = Duration::from_secs(900);

/// The socket of a node's container runtime.
const SOCKET: &str = "/run/containerd/containerd.sock";

/// `faults` tests the faults on prepared clusters.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn every_fault_fails_exactly_its_phase_on_a_reused_cluster() {
    let scratch = Scratch::new();
    let arguments = ["--filter", "n1", "--reuse", "--prepared", "never"];
    let mut command = faults::command(&scratch, &arguments);
    let output = command.envs(inherited(&ENGINE)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("1 cluster instead of 5"), "{stderr}");
    let run = record::read(&scratch);
    record::assert_nothing_else_is_left(&scratch, &run);
    // With one node, the cells differ only in their config.
    let cells = faults::cells();
    let of_one_node = cells.iter().filter(|cell| cell.nodes.get() == 1);
    let wrong = of_one_node.flat_map(|cell| faults::deviations(cell, &run));
    assert_eq!(wrong.collect::<Vec<_>>(), [] as [String; 0]);
    let mut verdicts = run.cells.iter().map(|cell| cell.verdict);
    assert!(verdicts.all(|verdict| verdict == CellVerdict::Failed));
    let seen = run.cells.iter().flat_map(|cell| &cell.phases);
    let seen = seen.flat_map(PhaseModel::all_evidence);
    let reuses = seen.filter(|row| row.seen.starts_with("reused after "));
    assert_eq!(reuses.count(), 4);
}

/// One cluster serves all rounds, whether the number of rounds is known from the beginning or `--until-failure` may end
/// them early.
#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn every_round_reuses_the_cluster() {
    for rounds in [
        &["--repeat", "2"][..],
        &["--repeat", "2", "--until-failure"],
    ] {
        let scratch = Scratch::new();
        let matrix = scratch.path().join("matrix.toml");
        fs::write(&matrix, quick_matrix("1.36")).unwrap();
        let mut command = scratch.command(&["--provider", "kind", "--reuse"]);
        let output = command
            .envs(inherited(&ENGINE))
            .arg("--output-dir")
            .arg(record::folder(&scratch).with_file_name(""))
            .args(rounds)
            .timeout(PATIENCE)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(
            stderr.contains("1 cluster instead of 2"),
            "{rounds:?}: {stderr}"
        );
        record::assert_nothing_else_is_left(&scratch, &record::read(&scratch));
    }
}

/// Two runs want the same kept cluster. One of them gets it, and the other one gets a fresh cluster.
#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn one_of_two_later_runs_reuses_a_kept_cluster() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), quick_matrix("1.36")).unwrap();
    let run = |folder: &str, more: &[&str]| {
        let mut command = scratch.command(&["--provider", "kind", "--prepared", "never"]);
        command.envs(inherited(&ENGINE)).timeout(PATIENCE);
        let folder = scratch.path().join(folder);
        let output = command.arg("--output-dir").arg(&folder).args(more);
        let output = output.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let records = e2e_matrix::record::read(&folder.join("latest").join(FILE_NAME)).unwrap();
        let run = RunModel::new(&records);
        let origin = record::origin(&run.cells[0]).to_owned();
        (run, origin)
    };
    let (_, origin) = run("first", &["--keep", "always"]);
    assert_eq!(origin, "fresh");
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| run("one", &["--reuse"]));
        let other = scope.spawn(|| run("other", &["--reuse"]));
        (one.join().unwrap(), other.join().unwrap())
    });
    let mut origins = [one.1, other.1];
    origins.sort();
    let reused = "reused after k8s-1.36-n1-default, kept by an earlier run";
    assert_eq!(origins, ["fresh", reused]);
    // Nothing is left of any of the three runs.
    record::assert_nothing_else_is_left(&scratch, &one.0);
    record::assert_nothing_else_is_left(&scratch, &other.0);
}

/// The cells of one group: one that fails and is retried, one that mounts a socket that the node creates during its
/// startup, and two that use the same node port.
#[test]
#[ignore = "needs kind (creates 3 clusters)"]
fn nothing_that_a_cell_leaves_in_its_cluster_affects_the_next_cell() {
    let scratch = Scratch::new();
    let names = ["retried", "socket", "port", "port-again"];
    let [_, socket, port, port_again] =
        names.map(|name| Manifests::shipped(&scratch.path().join(name)));
    let volumes = json!([
        {"name": "config", "configMap": {"name": "plexd-config"}},
        {"name": "data", "hostPath": {"path": "/var/lib/plexd", "type": "DirectoryOrCreate"}},
        {"name": "run", "hostPath": {"path": "/var/run/plexd", "type": "DirectoryOrCreate"}},
        {"name": "socket", "hostPath": {"path": SOCKET, "type": "Socket"}},
    ]);
    let pointer = "/spec/template/spec/volumes";
    socket.edit("kubernetes/daemonset.yaml", pointer, &volumes);
    for manifests in [port, port_again] {
        manifests.add(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "fixed", "namespace": "plexd-system"},
            "spec": {
                "type": "NodePort",
                "selector": {"app.kubernetes.io/name": "plexd"},
                "ports": [{"port": 80, "targetPort": "health", "nodePort": 30_999}],
            },
        }));
    }
    let config = |name: &str| {
        format!(
            "[config.{name}]\nagent = {QUICK_AGENT}\nmanifests = \"{name}/deploy/kubernetes\"\n"
        )
    };
    let configs: String = names.iter().map(|name| config(name)).collect();
    let text = format!(
        "[matrix]\nkubernetes = [\"1.34\"]\nconfig = {names:?}\n[run]\nports = \"any\"\njobs = 1\n\
         [phases.periodic]\ntimeout = \"10s\"\n{configs}[config.retried.env]\nPLEXD_FAULT = \"heartbeat-once\"\n",
    );
    fs::write(scratch.path().join("matrix.toml"), text).unwrap();
    let arguments = [
        "--provider",
        "kind",
        "--reuse",
        "--retries",
        "1",
        "--retry-on",
        "product",
    ];
    let mut command = scratch.command(&arguments);
    command.envs(inherited(&ENGINE)).timeout(PATIENCE);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&scratch);
    let seen = names.map(|name| {
        let cell = record::cell(&run, &format!("k8s-1.34-n1-{name}"));
        (cell.verdict, record::origin(cell))
    });
    let expected = [
        // The second attempt failed like the first, on a new cluster.
        (CellVerdict::Failed, "new"),
        (CellVerdict::Passed, "reused after k8s-1.34-n1-retried"),
        // The node's socket was mounted, so the cluster isn't reused.
        (CellVerdict::Passed, "new"),
        (CellVerdict::Passed, "reused after k8s-1.34-n1-port"),
    ];
    let seen = seen.map(|(verdict, origin)| {
        let is_reused = origin.starts_with("reused after ");
        (verdict, if is_reused { origin } else { "new" })
    });
    assert_eq!(seen, expected, "{stderr}");
    assert!(
        stderr.contains(&format!("{SOCKET} belongs to the node")),
        "{stderr}"
    );
    record::assert_nothing_else_is_left(&scratch, &run);
}
