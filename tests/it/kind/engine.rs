//! An engine that stops answering or dies in the middle of a cell: the run ends without help, reports an infrastructure failure, and
//! leaves nothing behind that `gc` can't delete. The test starts its own engine in its own network namespace, so it affects no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e_matrix::event::{CellVerdict, Event, FailureClass};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::{self, RunModel};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.34\"]\n[run]\nports = \"any\"\n";
/// How long a run may continue without its engine: until the watch on the engine notices, plus diagnostics and clean-up.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long an engine may take to answer.
const START: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs root, dockerd and a node image of 1.34 (starts its own engine, creates 3 clusters)"]
fn a_run_survives_its_engine() {
    let mut engine = Engine::start();
    engine.load_node_image();
    for (phase, signal) in [
        (Phase::Assertions, Signal::STOP),
        (Phase::Cluster, Signal::STOP),
        (Phase::Cluster, Signal::KILL),
    ] {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
        ends_by_itself(&engine, &scratch, phase, signal);
        engine.heal(signal);
        let gc = engine.command(&scratch, &["gc"]).output().unwrap();
        assert_eq!(gc.status.code(), Some(0), "{}", text(&gc));
        assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
        assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "");
        let network = ["network", "ls", "--quiet", "--filter", "name=^kind$"];
        assert_eq!(
            engine.docker(&network),
            "",
            "the run created it, so gc deletes it"
        );
        assert_eq!(
            folders(&scratch.path().join("state/runs")),
            [] as [PathBuf; 0]
        );
    }
}

/// Runs a cell, sends `signal` to its engine in `phase`, and checks how the run ends.
fn ends_by_itself(engine: &Engine, scratch: &Scratch, phase: Phase, signal: Signal) {
    let mut command = engine.command(
        scratch,
        &["--provider", "kind", "--cluster-prefix", "engine-test"],
    );
    let mut run = Running(
        command
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let latest = scratch.path().join("target/e2e-matrix/latest");
    wait(&format!("{phase} begins"), START * 2, || {
        has_begun(&latest, phase)
    });
    if phase == Phase::Cluster {
        let ledger = scratch.path().join("state/runs");
        wait("the network is planned", START, || {
            network_is_planned(&ledger)
        });
    }
    kill_process(engine.daemon(), signal).unwrap();
    let since = Instant::now();
    let mut status = None;
    wait(
        &format!("the end after {phase}, {signal:?}"),
        PATIENCE,
        || {
            status = run.0.try_wait().unwrap();
            status.is_some()
        },
    );
    let context = format!("{phase}, {signal:?}, after {:?}", since.elapsed());
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(3),
        "{context}"
    );
    let model = RunModel::new(&record::read(&latest.join(record::FILE_NAME)).unwrap());
    assert_eq!(model.cells[0].verdict, CellVerdict::Error, "{context}");
    for phase in &model.cells[0].phases {
        let class = phase.failure().map(e2e_matrix::event::Failure::class);
        assert!(
            matches!(class, None | Some(FailureClass::Infrastructure)),
            "{context}: {phase:?}"
        );
    }
    for report in ["junit.xml", "summary.md", "report.html"] {
        assert!(latest.join(report).exists(), "{context}: {report}");
    }
}

/// Whether the record says that `phase` has begun.
fn has_begun(folder: &Path, phase: Phase) -> bool {
    let records = record::read(&folder.join(record::FILE_NAME)).unwrap_or_default();
    records.iter().any(|record| {
        matches!(&record.event, Event::PhaseStarted { phase: begun, .. } if *begun == phase)
    })
}

/// Whether a run has written the network to its ledger: from then on, clean-up has to take the network into account.
fn network_is_planned(runs: &Path) -> bool {
    let ledgers = folders(runs).into_iter();
    let mut ledgers = ledgers.map(|run| fs::read_to_string(run.join("ledger.ndjson")));
    ledgers.any(|ledger| ledger.is_ok_and(|ledger| ledger.contains(r#""type":"network""#)))
}

/// Polls, because nothing reports the change.
fn wait(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A run that is killed when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already ended.
        drop(self.0.kill());
    }
}

/// A Docker engine in its own namespaces: its network affects no other, and its mounts disappear with it.
struct Engine {
    folder: tempfile::TempDir,
    shell: Option<Child>,
}

impl Engine {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("engine-")
            .tempdir()
            .unwrap();
        let mut engine = Self {
            folder,
            shell: None,
        };
        engine.spawn();
        engine
    }

    fn spawn(&mut self) {
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        command
            .args([
                "--net",
                "--mount",
                "sh",
                "-c",
                "ip link set lo up && exec dockerd \"$@\"",
                "sh",
            ])
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(self.host())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.shell = Some(command.spawn().unwrap());
        wait("the engine answers", START, || {
            self.client(&["info"]).output().unwrap().status.success()
        });
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(arguments);
        command
    }

    /// What `docker` prints.
    fn docker(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Copies the newest 1.34 node image from the machine's engine.
    fn load_node_image(&self) {
        let images = Command::new("docker")
            .args([
                "images",
                "--format",
                "{{.Repository}}:{{.Tag}}",
                "kindest/node:v1.34.*",
            ])
            .output()
            .unwrap();
        let images = String::from_utf8(images.stdout).unwrap();
        let image = images.lines().next().expect("a node image of 1.34 exists");
        let mut save = Command::new("docker")
            .args(["save", image])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = save.stdout.take().unwrap();
        let load = self
            .client(&["load", "--quiet"])
            .stdin(archive)
            .output()
            .unwrap();
        assert!(load.status.success(), "{}", text(&load));
        assert!(save.wait().unwrap().success());
    }

    /// The runner, in the network of this engine.
    fn command(&self, scratch: &Scratch, arguments: &[&str]) -> Command {
        let run = scratch.process(arguments);
        let daemon = self.daemon().as_raw_nonzero().to_string();
        let mut command = through("nsenter", &["--target", &daemon, "--net"], &run);
        command
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("DOCKER_HOST", self.host());
        command
    }

    fn daemon(&self) -> Pid {
        let text = fs::read_to_string(self.folder.path().join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Reverts the effect of `signal`.
    fn heal(&mut self, signal: Signal) {
        if signal == Signal::STOP {
            kill_process(self.daemon(), Signal::CONT).unwrap();
            return;
        }
        self.reap();
        self.spawn();
    }

    /// Removes what a dead engine leaves behind: its containerd, and the files that say that it runs.
    fn reap(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            shell.wait().unwrap();
        }
        let folder = self.folder.path();
        let containerd = folder.join("exec/containerd/containerd.pid");
        if let Ok(id) = fs::read_to_string(&containerd) {
            let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
            // Fails if the process has already ended.
            let _gone = kill_process(id, Signal::TERM);
            wait("containerd ends", START, || {
                !Path::new(&format!("/proc/{}", id.as_raw_nonzero())).exists()
            });
        }
        for file in [folder.join("pid"), folder.join("socket"), containerd] {
            // Fails if the file does not exist.
            drop(fs::remove_file(file));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Ok(id) = fs::read_to_string(self.folder.path().join("pid")) else {
            return;
        };
        let Some(id) = id.trim().parse().ok().and_then(Pid::from_raw) else {
            return;
        };
        // The engine may be in any state. Its containers are deleted first, then the engine. Errors are ignored: the test has already failed.
        let _gone = kill_process(id, Signal::CONT);
        if let Ok(left) = self.client(&["ps", "--all", "--quiet"]).output() {
            let left = String::from_utf8_lossy(&left.stdout).into_owned();
            for container in left.split_whitespace() {
                drop(
                    self.client(&["rm", "--force", "--volumes", container])
                        .output(),
                );
            }
        }
        let _gone = kill_process(id, Signal::TERM);
        if let Some(mut shell) = self.shell.take() {
            drop(shell.wait());
        }
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}
