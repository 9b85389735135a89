//! A cluster that a test makes by hand, for the provider `existing`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Scratch, record};
use e2e_matrix::cluster::images::{self, Sources, image_names};
use e2e_matrix::event::Failure;
use e2e_matrix::machine::StateFolder;
use e2e_matrix::matrix::{Images, Phase};
use e2e_matrix::record::model::PhaseOutcome;

const NODE_IMAGE: &str = "kindest/node:v1.34.4";
/// Far more than the cells take.
const PATIENCE: Duration = Duration::from_secs(400);

/// A cluster of the test's own. It is gone with the test, whatever becomes of that.
pub(crate) struct Hand {
    pub(crate) name: String,
    pub(crate) place: Scratch,
}

impl Hand {
    /// Creates it.
    pub(crate) fn new() -> Self {
        let name = format!("by-hand-{}", std::process::id());
        let place = Scratch::new();
        let hand = Self { name, place };
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

    /// Creates it, with the reference images on its node.
    pub(crate) fn with_images() -> Self {
        let hand = Self::new();
        bring_images(&hand);
        let ready = [
            "wait",
            "--for=condition=Ready",
            "node",
            "--all",
            "--timeout=60s",
        ];
        hand.kubectl(&ready);
        hand
    }

    /// The path of its kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.place.path().join("kubeconfig")
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

    /// A command in the node.
    pub(crate) fn node(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["exec", &format!("{}-control-plane", self.name)])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What kubectl prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
        self.node(&[&kubectl, arguments].concat())
    }

    /// Runs the binary. Returns its exit code and what it told.
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
        let mut command = self.place.command(&[]);
        command.args(common).arg(kubeconfig).args(arguments);
        let output = command.timeout(PATIENCE).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let arguments = ["delete", "cluster", "--name", &self.name, "--kubeconfig"];
        let mut command = Command::new("kind");
        drop(command.args(arguments).arg(self.kubeconfig()).output());
    }
}

/// Brings the reference images onto the node under the names that they have, as somebody's registry would. Returns their names.
pub(crate) fn bring_images(hand: &Hand) -> (String, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let runner = PathBuf::from(env!("CARGO_BIN_EXE_e2e-matrix"));
    let names = image_names(&Images::default(), Path::new("."), &runner).unwrap();
    let sources = Sources {
        images: Images::default(),
        base: PathBuf::from("."),
        runner,
    };
    let state = StateFolder::at(hand.place.path().join("archives"));
    let archives = runtime.block_on(async {
        let docker = images::connect().await.unwrap();
        images::ensure(&docker, &state, &sources, &names)
            .await
            .unwrap()
    });
    for archive in archives {
        hand.kind(&["load", "image-archive", archive.path.to_str().unwrap()]);
    }
    (names.agent, names.mock)
}

/// The phase in which a cell with the reference images and `settings` fails, and how; or else what the runner printed.
pub(crate) fn failure(hand: &Hand, settings: &str) -> Result<(Phase, Failure), String> {
    let runner = PathBuf::from(env!("CARGO_BIN_EXE_e2e-matrix"));
    let names = image_names(&Images::default(), Path::new("."), &runner).unwrap();
    let (agent, mock) = (names.agent, names.mock);
    let matrix = format!(
        r#"
[matrix]
kubernetes = ["1.34"]
[images.agent]
tag = "{agent}"
[images.mock]
tag = "{mock}"
[phases.readiness]
timeout = "30s"
mock-timeout = "25s"
[phases.cleanup]
timeout = "30s"
[run]
ports = "any"
{settings}"#
    );
    std::fs::write(hand.place.path().join("matrix.toml"), matrix).unwrap();
    let (code, printed) = hand.run(&[]);
    let run = record::read(&hand.place);
    let phases = run.cells.iter().flat_map(|cell| &cell.phases);
    let failed = phases.into_iter().find_map(|phase| match &phase.outcome {
        PhaseOutcome::Failed(failure) => Some((phase.phase, failure.clone())),
        PhaseOutcome::Passed | PhaseOutcome::Skipped(_) | PhaseOutcome::Interrupted(_) => None,
    });
    failed.ok_or_else(|| format!("no phase failed, exit code {code:?}: {printed}"))
}
