//! An output folder without space: verdicts and exit code are the same as with enough space, and one message says what
//! is lost.

use std::fs;
use std::process::Output;

use crate::support::{Scratch, through};

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.34", "1.36"]
nodes = [1, 2]
config = ["default", "silent"]
[config.silent]
env = { PLEXD_FAULT = "no-audit" }
[phases.assertions]
timeout = "10s"
[run]
ports = "any"
"#;

/// Mounts a small file system over the output folder, in a private mount namespace, and then runs the command.
const MOUNTED: &str = "mount -t tmpfs -o size=64k tmpfs out && exec \"$@\"";

#[test]
#[ignore = "needs a private mount (unshare: root or user namespaces)"]
fn a_full_disk_changes_no_verdict_and_is_reported_once() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    fs::create_dir(scratch.path().join("out")).unwrap();
    let run = scratch.process(&["--provider", "local", "--output-dir", "out"]);
    let mounted = [
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        MOUNTED,
        "sh",
    ];
    let mut small = through("unshare", &mounted, &run);
    // The shell needs its own PATH; all other variables are those of the run's clean environment.
    small.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let full = small.output().unwrap();
    let roomy = scratch
        .command(&["--provider", "local", "--output-dir", "roomy"])
        .output()
        .unwrap();
    assert_eq!(verdicts(&full), verdicts(&roomy), "{}", text(&full.stderr));
    assert_eq!(full.status.code(), Some(1), "{}", text(&full.stderr));
    assert_eq!(roomy.status.code(), Some(1));
    let stderr = text(&full.stderr);
    let warnings: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("warning"))
        .collect();
    assert!(
        matches!(warnings[..], [one] if one.contains("no space is left for the output of the run")),
        "{warnings:#?}"
    );
}

/// All cells with their verdicts, from the tables on stdout.
fn verdicts(output: &Output) -> Vec<(String, String)> {
    let tables = text(&output.stdout);
    let rows = tables.lines().filter(|line| line.starts_with("k8s-"));
    let ends = rows.filter_map(|row| {
        let mut words = row.split_whitespace();
        Some((words.next()?.to_owned(), words.next_back()?.to_owned()))
    });
    let cells: Vec<_> = ends
        .filter(|(_, end)| ["passed", "FAILED"].contains(&end.as_str()))
        .collect();
    assert_eq!(cells.len(), 8, "{tables}");
    cells
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
