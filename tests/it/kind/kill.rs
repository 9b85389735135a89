//! Runs on kind that are killed: whatever comes, in whatever phase, nothing is left of them, at the latest after one `gc`; and what is not
//! ours survives all of it, whatever it is called.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::kill::left;
use crate::kill::left::Known;
use crate::kill::running::Running;
use crate::support::Scratch;
use crate::support::inherited::inherited;
use e2e_matrix::machine::{StateFolder, folders, outstanding};
use e2e_matrix::matrix::Phase;
use rustix::process::Signal;

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
[run]
ports = "any"
"#;
/// What finds engine and kind.
pub(super) const INHERITED: [&str; 3] = ["PATH", "DOCKER_HOST", "DOCKER_CONTEXT"];
/// A container and its volume do not go in the same moment, those of other tests either.
const PATIENCE: Duration = Duration::from_secs(30);

macro_rules! killed {
    ($($name:ident: $signal:ident in $phase:ident, $prefix:literal;)*) => {
        $(
            #[test]
            #[ignore = "needs kind (creates 1 cluster)"]
            fn $name() {
                kill(Phase::$phase, Signal::$signal, $prefix);
            }
        )*
    };
}

killed! {
    killed_in_preflight: KILL in Preflight, "kill-k1";
    killed_in_cluster: KILL in Cluster, "kill-k2";
    killed_in_images: KILL in Images, "kill-k3";
    killed_in_manifests: KILL in Manifests, "kill-k4";
    killed_in_readiness: KILL in Readiness, "kill-k5";
    killed_in_assertions: KILL in Assertions, "kill-k6";
    killed_in_request_bodies: KILL in RequestBodies, "kill-k7";
    killed_in_periodic: KILL in Periodic, "kill-k8";
    killed_in_restart: KILL in Restart, "kill-k9";
    killed_in_local_endpoint: KILL in LocalEndpoint, "kill-k10";
    killed_in_cleanup: KILL in Cleanup, "kill-k11";
    interrupted_in_cluster: INT in Cluster, "kill-i2";
    interrupted_in_assertions: INT in Assertions, "kill-i6";
    interrupted_in_cleanup: INT in Cleanup, "kill-i11";
    terminated_in_preflight: TERM in Preflight, "kill-t1";
    terminated_in_images: TERM in Images, "kill-t3";
    terminated_in_readiness: TERM in Readiness, "kill-t5";
}

fn kill(phase: Phase, signal: Signal, prefix: &str) {
    let place = Scratch::new();
    left::prepare(&place);
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let beside = Beside::start(prefix);
    let before = (dangling_volumes(), networks());
    let arguments = [
        "--provider",
        "kind",
        "--cluster-prefix",
        prefix,
        "--hold",
        phase.name(),
    ];
    let mut command = place.process(&arguments);
    command.envs(inherited(&INHERITED));
    let running = Running::held(command, phase);
    let known = Known::of(&place);
    if phase == Phase::Cluster {
        // In the middle of it: kind is at work, and the engine is for kind.
        eventually("a node's container is there", || {
            containers(prefix, &["--all"]).len() > beside.0.len()
        });
    }
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
    left::assert_is_recorded(&place);
    if signal == Signal::KILL {
        let mut command = place.command(&["gc"]);
        let output = command.envs(inherited(&INHERITED)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    } else {
        left::assert_is_reported(&place);
    }
    known.assert_gone(&place);
    let state = StateFolder::at(place.path().join("state"));
    let ledgers = folders(&state).unwrap();
    assert!(
        ledgers
            .iter()
            .all(|folder| outstanding(folder).unwrap().is_empty())
    );
    beside.assert_is_all_there_is(prefix);
    eventually("no volume is left", || {
        dangling_volumes().is_subset(&before.0)
    });
    assert_eq!(networks(), before.1, "networks");
}

/// Containers that look like clusters and are not ours.
struct Beside(Vec<String>);

impl Beside {
    /// One with our prefix and a foreign name, and one whose name follows our grammar to the letter.
    fn start(prefix: &str) -> Self {
        let mut beside = Self(Vec::new());
        for cluster in [
            format!("{prefix}-mine"),
            format!("{prefix}-1-36-n1-f140b6-zzzzz"),
        ] {
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
            beside.0.push(name);
        }
        beside
    }

    /// They run as before, and no other container has the prefix.
    fn assert_is_all_there_is(&self, prefix: &str) {
        let all: BTreeSet<String> = self.0.iter().cloned().collect();
        assert_eq!(containers(prefix, &[]), all, "running");
        assert_eq!(containers(prefix, &["--all"]), all, "all");
    }
}

/// The names of the containers that run and begin with `prefix`; with `--all`, of those that don't run, too.
fn containers(prefix: &str, more: &[&str]) -> BTreeSet<String> {
    let filter = format!("name=^{prefix}-");
    let arguments = ["ps", "--filter", &filter, "--format", "{{.Names}}"];
    lines(&[&arguments, more].concat())
}

impl Drop for Beside {
    fn drop(&mut self) {
        for name in &self.0 {
            // It may not be there, where the test has failed.
            drop(
                Command::new("docker")
                    .args(["rm", "--force", "--volumes", name])
                    .output(),
            );
        }
    }
}

/// Any node image that is there: nothing of it but a program that does nothing is used.
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
        .expect("a node image is there")
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

/// What others do at the same time may hide it for a moment.
pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
