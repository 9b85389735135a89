//! Runs with too low an open-file limit: they end with a clear failure, don't busy-loop, and leave nothing behind.

use std::fs;
use std::time::Duration;

use procfs::process::Process;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::kill::running::Running;
use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n";

fn prepare() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    scratch
}

/// Asserts that no ledger remains in `scratch`.
fn assert_clean(scratch: &Scratch) {
    let runs = scratch.path().join("state/runs");
    let left = fs::read_dir(runs).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a ledger remains");
}

#[test]
fn a_limit_that_is_too_low_is_reported_before_the_first_cell() {
    let scratch = prepare();
    let run = scratch.process(&["--provider", "local"]);
    let limited = ["-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let output = through("/bin/sh", &limited, &run).output().unwrap();
    let streams = [output.stderr, output.stdout].concat();
    let stderr = String::from_utf8_lossy(&streams);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for text in [
        "the open-file limit is 64",
        "ulimit -n",
        "machine-too-small",
    ] {
        assert!(stderr.contains(text), "{stderr}");
    }
    assert_clean(&scratch);
}

#[test]
fn a_soft_limit_is_raised() {
    let scratch = prepare();
    let run = scratch.process(&["--provider", "local"]);
    let limited = ["-c", "ulimit -Sn 64; exec \"$0\" \"$@\""];
    let output = through("/bin/sh", &limited, &run).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn a_run_that_can_open_no_more_files_ends_without_busy_looping() {
    assert_eq!(with_files_left(0), Some(3));
    // Each number fails in a different place: the manifests, the mock, a probe, or the port forwarding. With some of
    // them, the run may even pass.
    for left in [2, 4, 6, 9, 12] {
        let code = with_files_left(left);
        assert!(matches!(code, Some(0 | 3)), "{left} files left: {code:?}");
    }
}

/// The exit code of a run that may open only `left` more files from its first phase on.
fn with_files_left(left: u64) -> Option<i32> {
    let scratch = prepare();
    let arguments = ["--provider", "local", "--verbose", "--log", "warn"];
    let mut running = Running::start(scratch.process(&arguments));
    running.wait_for("preflight");
    let process = running.process();
    let open = Process::new(process.as_raw_nonzero().get()).and_then(|process| process.fd_count());
    let open = open.unwrap() as u64;
    limit(process, open + left);
    running.wait_for("(1/1 cells)");
    let busy = processor_time(process);
    let ended = running.end();
    assert!(busy < Duration::from_secs(10), "{busy:?}");
    let stderr = ended.stderr.join("\n");
    // If the runner can't accept a connection, only its log says so: for the cell, the mock just doesn't answer.
    assert!(
        ended.code == Some(0) || stderr.contains("ulimit -n"),
        "{stderr}"
    );
    assert_clean(&scratch);
    ended.code
}

fn limit(process: Pid, files: u64) {
    let limit = Rlimit {
        current: Some(files),
        // The runner inherits its hard limit from the test, and raises its soft limit up to the hard limit if
        // necessary.
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(process), Resource::Nofile, limit).unwrap();
}

/// The processor time that `process` has used.
fn processor_time(process: Pid) -> Duration {
    let stat = Process::new(process.as_raw_nonzero().get()).and_then(|process| process.stat());
    let ticks = stat.map_or(0, |stat| stat.utime + stat.stime);
    Duration::from_millis(ticks * 1000 / procfs::ticks_per_second())
}
