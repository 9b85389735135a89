//! Ownership of clusters: a name alone doesn't prove that a run owns a cluster, even if the name is in the ledger of a
//! dead run.

#![expect(clippy::unwrap_used, reason = "a test that can't continue has failed")]

use std::fs;
use std::process::{Command, Stdio};

use e2e_matrix::matrix::Phase;
use rustix::process::Signal;

use super::kill::{INHERITED, docker, eventually, node_image};
use crate::kill::left;
use crate::kill::running::Running;
use crate::support::inherited::inherited;
use crate::support::{Scratch, quick_matrix};

/// Runs that share a state folder and a cluster name.
struct Runs {
    scratch: Scratch,
    cluster: &'static str,
}

impl Runs {
    fn new(cluster: &'static str) -> Self {
        let scratch = Scratch::new();
        left::prepare(&scratch);
        fs::write(scratch.path().join("matrix.toml"), quick_matrix("1.34")).unwrap();
        Self { scratch, cluster }
    }

    fn node(&self) -> String {
        format!("{}-control-plane", self.cluster)
    }

    /// The id of the node's container; empty if it is not running.
    fn running(&self) -> String {
        let name = format!("name=^{}$", self.node());
        docker(&["ps", "--quiet", "--no-trunc", "--filter", &name])
    }

    fn process(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.process(arguments);
        command.envs(inherited(&INHERITED));
        command
    }

    fn run(&self, more: &[&str]) -> Command {
        let own = ["--provider", "kind", "--cluster-name", self.cluster];
        self.process(&[&own, more].concat())
    }

    /// Starts a run, and kills it while it creates its cluster.
    fn killed(&self) {
        let command = self.run(&["--hold", Phase::Cluster.name()]);
        let running = Running::held(command, Phase::Cluster);
        eventually("a node's container exists", || !self.running().is_empty());
        running.signal(Signal::KILL);
        running.end();
    }

    /// Runs `command` until it exits. Returns its exit code and its output.
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
        // The container exists only if the test has failed.
        let arguments = ["rm", "--force", "--volumes", &self.node()];
        drop(Command::new("docker").args(arguments).output());
    }
}

#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn a_run_owns_its_cluster_even_if_a_dead_run_used_the_same_name() {
    let runs = Runs::new("own-same-name");
    runs.killed();
    let dead = runs.running();
    let mut command = runs.run(&[]);
    let second = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let second = second.spawn().unwrap();
    eventually("the second run has its own container", || {
        let running = runs.running();
        !running.is_empty() && running != dead
    });
    let alive = runs.running();

    // With an explicit number of jobs, the third run starts immediately. Otherwise, it would wait for a free slot until
    // the second run has ended.
    let third = runs.run(&["--retries", "0", "--jobs", "1"]);
    let (code, output) = Runs::end(third);
    assert_eq!(code, Some(3), "{output}");
    let reason = format!("another run uses the cluster name {}", runs.cluster);
    assert!(
        output.contains(&reason) && output.contains("--cluster-name"),
        "{output}"
    );
    let (code, output) = runs.gc(&["--all"]);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(runs.running(), alive);

    let ended = second.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(runs.running(), "");
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_foreign_cluster_survives_even_if_a_dead_run_used_the_same_name() {
    let runs = Runs::new("own-foreign");
    runs.killed();
    docker(&["rm", "--force", "--volumes", &runs.node()]);
    let label = format!("io.x-k8s.kind.cluster={}", runs.cluster);
    let foreign = ["run", "--detach", "--label", &label, "--name", &runs.node()];
    let image = node_image();
    let program = ["--network", "none", "--entrypoint", "sleep", &image, "3600"];
    docker(&[&foreign[..], &program].concat());
    let foreign = runs.running();

    let (code, output) = Runs::end(runs.run(&["--retries", "0"]));
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("already exists"), "{output}");
    assert!(output.contains("kind delete cluster"), "{output}");
    assert_eq!(runs.running(), foreign);
    for arguments in [&["gc"][..0], &["--all"]] {
        let (code, output) = runs.gc(arguments);
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(runs.running(), foreign, "{output}");
    }
}
