//! Runs that may open too few files: they end with a clear failure, without spinning, and leave nothing.

use std::fs;
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::kill::running::Running;
use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n";

fn place() -> Scratch {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    place
}

/// Nothing is left in the ledgers of `place`.
fn assert_clean(place: &Scratch) {
    let runs = place.path().join("state/runs");
    let left = fs::read_dir(runs).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a ledger is left");
}

#[test]
fn a_limit_that_is_too_low_is_named_before_the_first_cell() {
    let place = place();
    let run = place.process(&["--provider", "local"]);
    let limited = ["-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let output = through("/bin/sh", &limited, &run).output().unwrap();
    let streams = [output.stderr, output.stdout].concat();
    let stderr = String::from_utf8_lossy(&streams);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for text in [
        "the limit of open files is 64",
        "ulimit -n",
        "machine-too-small",
    ] {
        assert!(stderr.contains(text), "{stderr}");
    }
    assert_clean(&place);
}

#[test]
fn a_soft_limit_is_raised() {
    let place = place();
    let run = place.process(&["--provider", "local"]);
    let limited = ["-c", "ulimit -Sn 64; exec \"$0\" \"$@\""];
    let output = through("/bin/sh", &limited, &run).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn running_out_in_the_middle_of_a_run_ends_it_without_spinning() {
    assert_eq!(with_files_left(0), Some(3));
    // Each of these fails somewhere else: in the manifests, the mock, a probe, the port's forward. Some may be enough.
    for left in [2, 4, 6, 9, 12] {
        let code = with_files_left(left);
        assert!(matches!(code, Some(0 | 3)), "{left} files left: {code:?}");
    }
}

/// The exit code of a run that, from its first phase on, may open only `left` files more.
fn with_files_left(left: u64) -> Option<i32> {
    let place = place();
    let arguments = ["--provider", "local", "--verbose", "--log", "warn"];
    let mut running = Running::start(place.process(&arguments));
    running.wait_for("preflight");
    let process = running.process();
    let open = Process::new(process.as_raw_nonzero().get()).and_then(|process| process.fd_count());
    let open = open.unwrap() as u64;
    limit(process, open + left);
    let begun = Instant::now();
    running.wait_for("(1/1 cells)");
    let busy = processor_time(process);
    let ended = running.end();
    assert!(begun.elapsed() < Duration::from_secs(90), "{ended:?}");
    assert!(busy < Duration::from_secs(10), "{busy:?}");
    let said = ended.stderr.join("\n");
    // A connection that the runner can't accept is named in its log: to the cell, the mock doesn't answer.
    assert!(
        ended.code == Some(0) || said.contains("ulimit -n"),
        "{said}"
    );
    assert_clean(&place);
    ended.code
}

fn limit(process: Pid, files: u64) {
    let limit = Rlimit {
        current: Some(files),
        // Inherited from here. What is above the soft limit is the reserve.
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(process), Resource::Nofile, limit).unwrap();
}

/// The time that `process` has spent on processors.
fn processor_time(process: Pid) -> Duration {
    let stat = Process::new(process.as_raw_nonzero().get()).and_then(|process| process.stat());
    let ticks = stat.map_or(0, |stat| stat.utime + stat.stime);
    Duration::from_millis(ticks * 1000 / procfs::ticks_per_second())
}
