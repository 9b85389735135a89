//! Who owns a cluster: a name proves nothing, whether it is in the ledger of a dead run or not.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::process::{Command, Stdio};

use e2e_matrix::matrix::Phase;
use rustix::process::Signal;

use super::kill::{INHERITED, docker, eventually, node_image};
use crate::kill::left;
use crate::kill::running::Running;
use crate::support::Scratch;
use crate::support::inherited::inherited;

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.34"]
config = ["fast"]
[config.fast]
agent = { heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }
[run]
ports = "any"
"#;

/// Runs that share a state folder and the name of their cluster.
struct Runs {
    place: Scratch,
    cluster: &'static str,
}

impl Runs {
    fn new(cluster: &'static str) -> Self {
        let place = Scratch::new();
        left::prepare(&place);
        fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
        Self { place, cluster }
    }

    fn node(&self) -> String {
        format!("{}-control-plane", self.cluster)
    }

    /// The id of the node's container; empty if it does not run.
    fn running(&self) -> String {
        let name = format!("name=^{}$", self.node());
        docker(&["ps", "--quiet", "--no-trunc", "--filter", &name])
    }

    fn process(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.process(arguments);
        command.envs(inherited(&INHERITED));
        command
    }

    fn run(&self, more: &[&str]) -> Command {
        let own = ["--provider", "kind", "--cluster-name", self.cluster];
        self.process(&[&own, more].concat())
    }

    /// A run that is killed while its cluster is made.
    fn killed(&self) {
        let command = self.run(&["--hold", Phase::Cluster.name()]);
        let running = Running::held(command, Phase::Cluster);
        eventually("a node's container is there", || !self.running().is_empty());
        running.signal(Signal::KILL);
        running.end();
    }

    /// Runs `command` to its end. Returns its exit code and what it printed.
    fn end(mut command: Command) -> (Option<i32>, String) {
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code(), text)
    }

    fn gc(&self, arguments: &[&str]) -> (Option<i32>, String) {
        Self::end(self.process(&[&["gc"], arguments].concat()))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // It is there only if the test has failed.
        let arguments = ["rm", "--force", "--volumes", &self.node()];
        drop(Command::new("docker").args(arguments).output());
    }
}

#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn a_run_owns_its_cluster_though_a_dead_one_had_the_same_name() {
    let runs = Runs::new("own-same-name");
    runs.killed();
    let dead = runs.running();
    let mut command = runs.run(&[]);
    let second = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let second = second.spawn().unwrap();
    eventually("the second run has a container of its own", || {
        let running = runs.running();
        !running.is_empty() && running != dead
    });
    let alive = runs.running();

    // An explicit number of jobs, or the third run would wait for a free slot until the second one has ended.
    let third = runs.run(&["--retries", "0", "--jobs", "1"]);
    let (code, told) = Runs::end(third);
    assert_eq!(code, Some(3), "{told}");
    let reason = format!("another run uses the cluster name {}", runs.cluster);
    assert!(
        told.contains(&reason) && told.contains("--cluster-name"),
        "{told}"
    );
    let (code, told) = runs.gc(&["--all"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(runs.running(), alive);

    let ended = second.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(runs.running(), "");
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_foreign_cluster_survives_though_a_dead_run_had_the_same_name() {
    let runs = Runs::new("own-foreign");
    runs.killed();
    docker(&["rm", "--force", "--volumes", &runs.node()]);
    let label = format!("io.x-k8s.kind.cluster={}", runs.cluster);
    let foreign = ["run", "--detach", "--label", &label, "--name", &runs.node()];
    let image = node_image();
    let program = ["--network", "none", "--entrypoint", "sleep", &image, "3600"];
    docker(&[&foreign[..], &program].concat());
    let foreign = runs.running();

    let (code, told) = Runs::end(runs.run(&["--retries", "0"]));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("is there already"), "{told}");
    assert!(told.contains("kind delete cluster"), "{told}");
    assert_eq!(runs.running(), foreign);
    for arguments in [&["gc"][..0], &["--all"]] {
        let (code, told) = runs.gc(arguments);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(runs.running(), foreign, "{told}");
    }
}
