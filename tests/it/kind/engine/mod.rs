//! An engine that stops responding or dies in the middle of a cell: the run ends on its own, reports an infrastructure
//! failure, and leaves nothing behind that `gc` can't delete. Each test starts its own engine in its own network
//! namespace, so it affects no other engine.

mod daemon;
mod template;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use e2e_matrix::event::{CellVerdict, Event, FailureClass};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::{self, RunModel};
use rustix::process::{Signal, kill_process};

use self::daemon::Engine;
use crate::support::Scratch;

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.34\"]\n[run]\nports = \"any\"\n";
/// How long a run may continue without its engine: until the runner notices, plus diagnostics and cleanup.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long an engine may take to start.
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
        assert_run_ends(&engine, &scratch, phase, signal);
        engine.recover(signal);
        let gc = engine.command(&scratch, &["gc"]).output().unwrap();
        assert_eq!(gc.status.code(), Some(0), "{}", text(&gc));
        assert_nothing_is_left(&engine, &scratch);
    }
}

/// Asserts that a run has left no container, volume or ledger, and no network either, because the run created it.
fn assert_nothing_is_left(engine: &Engine, scratch: &Scratch) {
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
    assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "");
    let network = ["network", "ls", "--quiet", "--filter", "name=^kind$"];
    assert_eq!(engine.docker(&network), "");
    assert_eq!(
        folders(&scratch.path().join("state/runs")),
        [] as [PathBuf; 0]
    );
}

/// Runs a cell, sends `signal` to its engine in `phase`, and checks how the run ends.
fn assert_run_ends(engine: &Engine, scratch: &Scratch, phase: Phase, signal: Signal) {
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
    let code = run.wait(&format!("the end after {phase}, {signal:?}"), PATIENCE);
    let context = format!("{phase}, {signal:?}, after {:?}", since.elapsed());
    assert_eq!(code, Some(3), "{context}");
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

/// Whether `phase` has begun, according to the record.
fn has_begun(folder: &Path, phase: Phase) -> bool {
    let records = record::read(&folder.join(record::FILE_NAME)).unwrap_or_default();
    records.iter().any(|record| {
        matches!(&record.event, Event::PhaseStarted { phase: begun, .. } if *begun == phase)
    })
}

/// Whether a run has recorded the network in its ledger. From then on, cleanup has to delete the network.
fn network_is_planned(runs: &Path) -> bool {
    let ledgers = folders(runs).into_iter();
    let mut ledgers = ledgers.map(|run| fs::read_to_string(run.join("ledger.ndjson")));
    ledgers.any(|ledger| ledger.is_ok_and(|ledger| ledger.contains(r#""type":"network""#)))
}

/// Polls until `holds` returns `true`, because no event reports the change. Panics after `limit`.
fn wait(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A run that is killed at the end of the test, whether the test passes or fails.
struct Running(Child);

impl Running {
    /// Waits until the run exits, and returns its exit code. If the run takes longer than `limit`, the error names
    /// `what`.
    fn wait(&mut self, what: &str, limit: Duration) -> Option<i32> {
        let mut status = None;
        wait(what, limit, || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        drop(self.0.kill());
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
