//! Interrupted and killed runs on kind: whatever the signal and the phase, a run leaves nothing behind, or only what
//! one `gc` deletes. Clusters of other users survive, whatever their names are. Most runs use a clone of a template,
//! which all tests share and which is kept.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::kill::left;
use crate::kill::left::Known;
use crate::kill::running::Running;
use crate::support::inherited::inherited;
use crate::support::{QUICK_AGENT, Scratch};
use e2e_matrix::machine::{StateFolder, folders, outstanding};
use e2e_matrix::matrix::Phase;
use rustix::process::Signal;

/// The variables by which a run finds the engine and kind.
pub(super) const INHERITED: [&str; 3] = ["PATH", "DOCKER_HOST", "DOCKER_CONTEXT"];
/// How long to wait for other tests on the same engine, which delete a container and its volume at different moments.
const PATIENCE: Duration = Duration::from_secs(30);

/// A matrix with a cell per config, whose agents report twice per second.
fn matrix(configs: &[&str]) -> String {
    let tables = configs.iter();
    let tables = tables.map(|name| format!("[config.{name}]\nagent = {QUICK_AGENT}\n"));
    let tables: String = tables.collect();
    format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nconfig = {configs:?}\n[run]\nports = \"any\"\n{tables}"
    )
}

macro_rules! killed {
    ($($name:ident: $signal:ident in $phase:ident of $origin:ident, $prefix:literal;)*) => {
        $(
            #[test]
            #[ignore = "needs kind (creates 1 cluster)"]
            fn $name() {
                kill(Phase::$phase, Signal::$signal, Origin::$origin, $prefix);
            }
        )*
    };
}

killed! {
    killed_in_preflight: KILL in Preflight of Fresh, "kill-k1";
    killed_in_cluster: KILL in Cluster of Fresh, "kill-k2";
    killed_in_images: KILL in Images of Fresh, "kill-k3";
    killed_in_cluster_of_a_clone: KILL in Cluster of Clone, "kill-k12";
    killed_in_manifests: KILL in Manifests of Clone, "kill-k4";
    killed_in_readiness: KILL in Readiness of Clone, "kill-k5";
    killed_in_assertions: KILL in Assertions of Clone, "kill-k6";
    killed_in_request_bodies: KILL in RequestBodies of Clone, "kill-k7";
    killed_in_periodic: KILL in Periodic of Clone, "kill-k8";
    killed_in_restart: KILL in Restart of Clone, "kill-k9";
    killed_in_local_endpoint: KILL in LocalEndpoint of Clone, "kill-k10";
    killed_in_cleanup: KILL in Cleanup of Clone, "kill-k11";
    interrupted_in_cluster: INT in Cluster of Fresh, "kill-i2";
    interrupted_in_cluster_of_a_clone: INT in Cluster of Clone, "kill-i12";
    interrupted_in_assertions: INT in Assertions of Clone, "kill-i6";
    terminated_in_preflight: TERM in Preflight of Fresh, "kill-t1";
    terminated_in_readiness: TERM in Readiness of Clone, "kill-t5";
}

/// How the cluster is created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By kind.
    Fresh,
    /// As a clone of a template.
    Clone,
}

impl Origin {
    /// The value of `--prepared` for this origin.
    fn option(self) -> &'static str {
        match self {
            Self::Fresh => "never",
            Self::Clone => "auto",
        }
    }
}

/// Prepares the cluster of the matrix in `scratch`. Tests do this one at a time, and all but the first find the
/// template.
fn prepare(scratch: &Scratch) {
    let path = std::env::temp_dir().join("e2e-matrix-tests-prepare.lock");
    let lock = fs::File::create(path).unwrap();
    lock.lock().unwrap();
    let mut command = scratch.command(&["prepare"]);
    let output = command.envs(inherited(&INHERITED)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn kill(phase: Phase, signal: Signal, origin: Origin, prefix: &str) {
    let hold = ["--hold", phase.name()];
    let matrix = matrix(&["fast"]);
    kill_when(&matrix, signal, origin, prefix, &hold, |command| {
        let running = Running::held(command, phase);
        if phase == Phase::Cluster {
            // Wait until the run is in the middle of the phase, when the engine is busy and, if the cluster is fresh,
            // kind is running.
            eventually("a node's container exists", || {
                containers(prefix, &["--all"]).len() > BYSTANDERS
            });
        }
        running
    });
}

/// The run is killed after the second cell has taken over the cluster of the first one, while the first one's objects
/// are still being deleted.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn killed_in_a_reused_cluster() {
    let matrix = matrix(&["one", "other"]);
    let (signal, origin) = (Signal::KILL, Origin::Clone);
    kill_when(&matrix, signal, origin, "kill-r", &["--reuse"], |command| {
        let mut running = Running::start(command);
        running.wait_for("(1/2 cells)");
        running
    });
}

/// Runs `matrix` with the arguments `more`, sends `signal` as soon as `reach` returns, and checks what is left.
fn kill_when(
    matrix: &str,
    signal: Signal,
    origin: Origin,
    prefix: &str,
    more: &[&str],
    reach: impl FnOnce(Command) -> Running,
) {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    if origin == Origin::Clone {
        prepare(&scratch);
    }
    let bystanders = Bystanders::start(prefix);
    let before = (dangling_volumes(), networks());
    let arguments = [
        "--provider",
        "kind",
        "--prepared",
        origin.option(),
        "--cluster-prefix",
        prefix,
    ];
    let mut command = scratch.process(&[&arguments, more].concat());
    command.envs(inherited(&INHERITED));
    let running = reach(command);
    let known = Known::of(&scratch);
    running.signal(signal);
    let ended = running.end();
    let code = match signal {
        Signal::INT => Some(130),
        Signal::TERM => Some(143),
        _ => None,
    };
    assert_eq!(
        (ended.code, ended.signal.is_some()),
        (code, code.is_none()),
        "{}",
        ended.stderr.join("\n")
    );
    left::assert_is_recorded(&scratch);
    if signal == Signal::KILL {
        let mut command = scratch.command(&["gc"]);
        let output = command.envs(inherited(&INHERITED)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    } else {
        left::assert_is_reported(&scratch);
    }
    known.assert_gone(&scratch);
    let state = StateFolder::at(scratch.path().join("state"));
    let ledgers = folders(&state).unwrap();
    assert!(
        ledgers
            .iter()
            .all(|folder| outstanding(folder).unwrap().is_empty())
    );
    bystanders.assert_only_these_exist(prefix);
    eventually("no volume is left", || {
        dangling_volumes().is_subset(&before.0)
    });
    assert_eq!(networks(), before.1, "networks");
}

/// The number of containers that don't belong to the run.
const BYSTANDERS: usize = 2;

/// Containers that look like clusters but belong to no run.
struct Bystanders([String; BYSTANDERS]);

impl Bystanders {
    /// Starts one container whose name has only our prefix, and one whose name has exactly our format.
    fn start(prefix: &str) -> Self {
        let clusters = [
            format!("{prefix}-mine"),
            format!("{prefix}-1-36-n1-f140b6-zzzzz"),
        ];
        Self(clusters.map(|cluster| {
            let name = format!("{cluster}-control-plane");
            let label = format!("io.x-k8s.kind.cluster={cluster}");
            docker(&[
                "run",
                "--detach",
                "--name",
                &name,
                "--label",
                &label,
                "--label",
                "io.x-k8s.kind.role=control-plane",
                "--network",
                "none",
                "--entrypoint",
                "sleep",
                &node_image(),
                "3600",
            ]);
            name
        }))
    }

    /// Asserts that these containers still run, and that no other container has the prefix.
    fn assert_only_these_exist(&self, prefix: &str) {
        let all: BTreeSet<String> = self.0.iter().cloned().collect();
        assert_eq!(containers(prefix, &[]), all, "running");
        assert_eq!(containers(prefix, &["--all"]), all, "all");
    }
}

/// The names of the running containers that begin with `prefix`. With `--all`, stopped containers are included.
fn containers(prefix: &str, more: &[&str]) -> BTreeSet<String> {
    let filter = format!("name=^{prefix}-");
    let arguments = ["ps", "--filter", &filter, "--format", "{{.Names}}"];
    lines(&[&arguments, more].concat())
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        for name in &self.0 {
            // If the test has failed, the container may not exist.
            drop(
                Command::new("docker")
                    .args(["rm", "--force", "--volumes", name])
                    .output(),
            );
        }
    }
}

/// Any local node image: the tests run only `sleep` in it.
pub(super) fn node_image() -> String {
    let images = lines(&[
        "images",
        "kindest/node",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]);
    images
        .into_iter()
        .next_back()
        .expect("a local node image exists")
}

fn dangling_volumes() -> BTreeSet<String> {
    lines(&["volume", "ls", "--quiet", "--filter", "dangling=true"])
}

fn networks() -> BTreeSet<String> {
    lines(&["network", "ls", "--format", "{{.ID}} {{.Name}}"])
}

fn lines(arguments: &[&str]) -> BTreeSet<String> {
    docker(arguments).lines().map(str::to_owned).collect()
}

pub(super) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until `holds` is true, because other tests on the same engine can interfere for a moment.
pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
