//! The provider `existing` against a cluster that was made by hand: cells run, and the cluster is left as it was found.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::Scratch;
use crate::support::record;
use e2e_matrix::cluster::images::{self, Sources, image_names};
use e2e_matrix::event::{CellVerdict, Execution};
use e2e_matrix::machine::StateFolder;
use e2e_matrix::matrix::{Images, Phase};

const NODE_IMAGE: &str = "kindest/node:v1.34.4";
/// Far more than the cells take.
const PATIENCE: Duration = Duration::from_secs(400);

/// A cluster of the test's own. It is gone with the test, whatever becomes of that.
struct Hand {
    name: String,
    place: Scratch,
}

impl Hand {
    fn new() -> Self {
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

    fn kubeconfig(&self) -> PathBuf {
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
    fn node(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["exec", &format!("{}-control-plane", self.name)])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
        self.node(&[&kubectl, arguments].concat())
    }

    /// Everything that could be changed for somebody else, as a listing.
    fn listing(&self) -> String {
        let kinds = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions";
        let objects = self.kubectl(&["get", kinds, "--output", "name"]);
        let leases = self.kubectl(&[
            "get",
            "leases",
            "--namespace",
            "default",
            "--output",
            "name",
        ]);
        let foreign = self.kubectl(&[
            "get",
            "configmap,plexdhooks",
            "--namespace",
            "somebody",
            "--output",
            "name",
        ]);
        let version = self.kubectl(&[
            "get",
            "customresourcedefinition/plexdhooks.plexd.plexsphere.com",
            "--output",
            "jsonpath={.metadata.uid} {.metadata.resourceVersion}",
        ]);
        let find =
            "find /var/lib/plexd-e2e /var/lib/plexd /run/plexd -mindepth 1 2>/dev/null || true";
        let folders = self.node(&["sh", "-c", find]);
        [objects, leases, foreign, version, folders].join("\n")
    }

    /// Runs the binary. Returns its exit code and what it told.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
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
fn bring_images(hand: &Hand) -> (String, String) {
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

fn matrix(agent: &str, mock: &str) -> String {
    format!(
        r#"
[matrix]
kubernetes = ["1.33", "1.34"]
config = ["default", "fast"]
[config.fast]
agent = {{ heartbeat = {{ interval = "500ms" }} }}
[images.agent]
tag = "{agent}"
[images.mock]
tag = "{mock}"
[run]
ports = "any"
"#
    )
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn cells_come_and_go_and_the_cluster_stays_as_it_was() {
    let hand = Hand::new();
    let (agent, mock) = bring_images(&hand);
    std::fs::write(hand.place.path().join("matrix.toml"), matrix(&agent, &mock)).unwrap();
    // Somebody has one of the two definitions, an object of it, and a role of the agent's name.
    let definition = include_str!("../../../deploy/kubernetes/crds/plexdhook-crd.yaml");
    std::fs::write(hand.place.path().join("crd.yaml"), definition).unwrap();
    let copied = Command::new("docker")
        .arg("cp")
        .arg(hand.place.path().join("crd.yaml"))
        .arg(format!("{}-control-plane:/crd.yaml", hand.name))
        .status();
    assert!(copied.unwrap().success());
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
    hand.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "node",
        "--all",
        "--timeout=60s",
    ]);
    let before = hand.listing();
    let kubeconfig = std::fs::read(hand.kubeconfig()).unwrap();

    for _ in 0..2 {
        let (code, told) = hand.run(&[]);
        assert_eq!(code, Some(0), "{told}");
        assert!(
            told.contains(&format!("context kind-{}", hand.name)),
            "{told}"
        );
        let run = record::read(&hand.place);
        for config in ["default", "fast"] {
            let cell = record::cell(&run, &format!("k8s-1.34-n1-{config}"));
            assert_eq!(record::deviations(cell, None), [] as [String; 0]);
            let images = cell.phases.iter().find(|it| it.phase == Phase::Images);
            assert_eq!(images.unwrap().execution, Execution::Simulated);
            let cleanup = cell.phases.last().unwrap();
            assert_eq!(cleanup.warnings, [] as [String; 0]);
            let other = record::cell(&run, &format!("k8s-1.33-n1-{config}"));
            assert_eq!(other.verdict, CellVerdict::Skipped);
            assert_eq!(
                other.reason.as_deref(),
                Some("cluster runs 1.34 with 1 node")
            );
        }
        assert_eq!(hand.listing(), before);
        assert_eq!(std::fs::read(hand.kubeconfig()).unwrap(), kubeconfig);
        record::assert_nothing_else_is_left(&hand.place, &run);
    }

    let (code, told) = hand.run(&["--filter", "k8s-1.33"]);
    assert_eq!(code, Some(4), "every cell is skipped: {told}");

    // What is kept stays until it is removed, and keeps others from the nodes' ports meanwhile.
    let (code, told) = hand.run(&["--filter", "k8s-1.34 and default", "--keep", "always"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("get pods"), "{told}");
    assert_ne!(hand.listing(), before);
    let (code, told) = hand.run(&["--filter", "k8s-1.34 and default"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("of another run is there"), "{told}");
    let gc = hand.place.command(&["gc", "--kept"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stdout)
    );
    assert_eq!(hand.listing(), before);
}
