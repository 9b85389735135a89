//! Files that never end, wait for a writer, or are far too large are rejected immediately, with little memory.

use std::fs::{self, File};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n";
/// Each file is rejected within milliseconds. A run that hangs is killed after this time, and has no exit code.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the binary with `arguments` and at most one GiB of memory. Returns its stderr and exit code.
fn run(scratch: &Scratch, arguments: &str) -> (String, Option<i32>) {
    let binary = scratch.process(&[]);
    let limited = format!("ulimit -v 1048576; exec \"$0\" {arguments}");
    let command = through("/bin/sh", &["-c", &limited], &binary);
    let output = assert_cmd::Command::from_std(command)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (stderr, output.status.code())
}

#[test]
fn pipes_devices_and_huge_files_are_rejected() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("matrix.toml"), MATRIX).unwrap();
    mknodat(
        CWD,
        path("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    File::create(path("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let regular = "not a regular file";
    let cases = [
        ("list --matrix pipe", regular),
        ("list --matrix /dev/zero", regular),
        ("list --matrix sparse", "larger than 1 MiB"),
        ("list --shard 1/2 --timings pipe", regular),
        ("list --shard 1/2 --timings sparse", "larger than 16 MiB"),
        ("report ./pipe", "there is no run `./pipe`"),
        ("report ./sparse", "line 1 is longer than 16 MiB"),
        ("replay ./sparse", "line 1 is longer than 16 MiB"),
    ];
    let wrong = cases.into_iter().filter_map(|(arguments, text)| {
        let (stderr, code) = run(&scratch, arguments);
        (code != Some(2) || !stderr.contains(text))
            .then(|| format!("{arguments}: {code:?} {stderr}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_record_with_too_many_cells_is_rejected() {
    let scratch = Scratch::new();
    fs::write(
        scratch.path().join("matrix.toml"),
        "[matrix]\nkubernetes = [\"1.35\", \"1.36\"]\n",
    )
    .unwrap();
    let (stderr, code) = run(&scratch, "--provider local --repeat 10000");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("10000 rounds of 2 cells"), "{stderr}");
    assert!(stderr.contains("--repeat"), "{stderr}");
}
