//! A cluster that a test creates by hand, for the provider `existing`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Scratch, record};
use e2e_matrix::cluster::images::{self, image_names};
use e2e_matrix::event::Failure;
use e2e_matrix::machine::StateFolder;
use e2e_matrix::matrix::{Images, Phase};

const NODE_IMAGE: &str = "kindest/node:v1.34.4";
/// A timeout far longer than the cells should take.
const PATIENCE: Duration = Duration::from_secs(400);

/// A cluster of one test. It is deleted when the test ends, even if it fails.
pub(crate) struct Hand {
    pub(crate) name: String,
    pub(crate) scratch: Scratch,
}

impl Hand {
    /// Creates a cluster with one node.
    pub(crate) fn new() -> Self {
        let hand = Self {
            name: format!("by-hand-{}", std::process::id()),
            scratch: Scratch::new(),
        };
        let kubeconfig = hand.kubeconfig();
        let kubeconfig = kubeconfig.to_str().unwrap();
        hand.kind(&[
            "create",
            "cluster",
            "--kubeconfig",
            kubeconfig,
            "--image",
            NODE_IMAGE,
        ]);
        hand
    }

    /// Creates a cluster, and loads the reference images on its node.
    pub(crate) fn with_images() -> Self {
        let hand = Self::new();
        load_images(&hand);
        hand.wait_for_nodes();
        hand
    }

    /// Waits until all nodes are ready.
    pub(crate) fn wait_for_nodes(&self) {
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "node",
            "--all",
            "--timeout=60s",
        ]);
    }

    /// The path of the cluster's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    fn kind(&self, arguments: &[&str]) {
        let output = Command::new("kind")
            .args(arguments)
            .args(["--name", &self.name])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
    }

    /// Runs a command in the control plane's container, and returns its output.
    pub(crate) fn node(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["exec", &format!("{}-control-plane", self.name)])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs kubectl, and returns its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
        self.node(&[&kubectl, arguments].concat())
    }

    /// Makes the kubeconfig use the service account `account` in the namespace `default`.
    pub(crate) fn become_account(&self, account: &str) {
        let token = self.kubectl(&["create", "token", account]);
        let path = self.kubeconfig();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
        std::fs::write(path, config.to_string()).unwrap();
    }

    /// Runs the binary. Returns its exit code and its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let context = format!("kind-{}", self.name);
        let kubeconfig = self.kubeconfig();
        let common = [
            "--provider",
            "existing",
            "--context",
            &context,
            "--kubeconfig",
        ];
        let mut command = self.scratch.command(&[]);
        command.args(common).arg(kubeconfig).args(arguments);
        let output = command.timeout(PATIENCE).output().unwrap();
        let streams = [output.stderr, output.stdout].concat();
        let printed = String::from_utf8_lossy(&streams).into_owned();
        (output.status.code(), printed)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let arguments = ["delete", "cluster", "--name", &self.name, "--kubeconfig"];
        let mut command = Command::new("kind");
        drop(command.args(arguments).arg(self.kubeconfig()).output());
    }
}

/// Loads the reference images on the nodes, as if they came from a registry. Returns their names.
pub(crate) fn load_images(hand: &Hand) -> (String, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let runner = PathBuf::from(env!("CARGO_BIN_EXE_e2e-matrix"));
    let (images, base) = (Images::default(), Path::new("."));
    let names = image_names(&images, base, &runner).unwrap();
    let state = StateFolder::at(hand.scratch.path().join("archives"));
    let archives = runtime.block_on(async {
        let docker = images::connect().await.unwrap();
        images::ensure(&docker, &state, &images, base, &runner, &names)
            .await
            .unwrap()
    });
    for archive in archives {
        hand.kind(&["load", "image-archive", archive.path.to_str().unwrap()]);
    }
    (names.agent, names.mock)
}

/// How a cell failed, and the runner's exit code.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: Option<i32>,
    pub(crate) phase: Phase,
    pub(crate) failure: Failure,
}

/// Runs a cell with the reference images. Returns how it failed; if it did not fail, returns the output.
pub(crate) fn failure(hand: &Hand) -> Result<Failed, String> {
    let runner = PathBuf::from(env!("CARGO_BIN_EXE_e2e-matrix"));
    let names = image_names(&Images::default(), Path::new("."), &runner).unwrap();
    let (agent, mock) = (names.agent, names.mock);
    let matrix = format!(
        r#"
[matrix]
kubernetes = ["1.34"]
[images.agent]
image = "{agent}"
[images.mock]
image = "{mock}"
[phases.readiness]
timeout = "50s"
mock-timeout = "25s"
[phases.cleanup]
timeout = "30s"
[run]
ports = "any"
"#
    );
    std::fs::write(hand.scratch.path().join("matrix.toml"), matrix).unwrap();
    let (code, printed) = hand.run(&[]);
    let run = record::read(&hand.scratch);
    let failed = run.cells[0].failed_phase().and_then(|phase| {
        let failure = phase.failure()?.clone();
        let phase = phase.phase;
        Some(Failed {
            code,
            phase,
            failure,
        })
    });
    failed.ok_or_else(|| format!("no phase failed, exit code {code:?}: {printed}"))
}
