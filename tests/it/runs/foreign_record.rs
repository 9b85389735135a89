//! Records that the runner did not write: names that lead out of the run's folder are rejected, and nothing is touched.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::Scratch;

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n[run]\nprovider = \"local\"\n";
const CELL: &str = "k8s-1.36-n1-default";

/// All commands that read a record.
const COMMANDS: [&[&str]; 6] = [
    &["--resume=foreign"],
    &["--rerun-failed=foreign"],
    &["report", "foreign"],
    &["report", "foreign", "--exit-code"],
    &["replay", "foreign"],
    &["merge", "foreign"],
];

fn host() -> Value {
    json!({"name": "h", "platform": "linux", "cpus": 1, "memory_bytes": 1})
}

/// Writes the record of a killed run of the cell `id`, after `change` has changed its events. Returns the scratch
/// folder and the run's folder.
fn prepare(id: &str, change: fn(&mut [Value; 3])) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let folder = scratch.path().join("target/e2e-matrix/foreign");
    fs::create_dir_all(folder.join("cells")).unwrap();
    let facts = json!({
        "run": "foreign", "runner": "0.1.0", "matrix": "matrix.toml", "provider": "local", "jobs": 1, "host": host(),
        "cells": [{"id": CELL, "kubernetes": "1.36", "nodes": 1, "config": "default"}],
    });
    let session = json!({"token": "abcde", "runner": "0.1.0", "jobs": 1, "host": host()});
    let mut events = [
        json!({"type": "run-started", "facts": facts}),
        json!({"type": "run-resumed", "facts": session}),
        json!({"type": "cell-started", "cell": id, "cluster": "c"}),
    ];
    change(&mut events);
    let lines = events.iter().enumerate().map(|(sequence, event)| {
        let at = "2026-01-02T03:04:05Z";
        format!(
            "{}\n",
            json!({"version": 1, "sequence": sequence, "at": at, "event": event})
        )
    });
    fs::write(folder.join("events.ndjson"), lines.collect::<String>()).unwrap();
    (scratch, folder)
}

/// Asserts that every command rejects the record in `scratch`, and that the error has `line` and `reason`.
fn assert_rejected(scratch: &Scratch, line: usize, reason: &str) {
    for command in COMMANDS {
        let output = scratch.exits(2, command);
        let stderr = String::from_utf8(output.stderr).unwrap().replace('\n', " ");
        let stderr = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let position = format!("line {line} of ");
        assert!(
            stderr.contains(&position)
                && stderr.contains("events.ndjson")
                && stderr.contains(reason),
            "{command:?}: {stderr}"
        );
    }
}

#[test]
fn every_command_rejects_a_cell_id_that_is_not_a_name() {
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept");
    fs::write(&kept, "mine").unwrap();
    let absolute = outside.path().to_str().unwrap();
    let long = format!("k8s-1.36-n1-{}", "a".repeat(300));
    for id in [
        absolute,
        "/x",
        "../x",
        "../../../matrix.toml",
        "",
        "k8s-1.36-n1-a\u{0}",
        "x",
        &long,
    ] {
        let (scratch, _) = prepare(id, |_| ());
        assert_rejected(
            &scratch,
            3,
            "a cell id is `k8s-<version>-n<nodes>-<config>`",
        );
        assert!(
            kept.exists() && scratch.path().join("matrix.toml").exists(),
            "{id}"
        );
    }
}

#[test]
fn every_command_rejects_a_run_id_or_token_that_is_not_a_name() {
    let (scratch, _) = prepare(CELL, |events| {
        events[0]["facts"]["run"] = "../foreign".into();
    });
    assert_rejected(&scratch, 1, "the name of a file");
    let (scratch, _) = prepare(CELL, |events| events[1]["facts"]["token"] = "../x".into());
    assert_rejected(&scratch, 2, "the name of a file");
}

#[test]
fn a_record_with_plain_names_is_read() {
    let (scratch, folder) = prepare(CELL, |_| ());
    scratch.exits(0, &["report", "foreign"]);
    assert!(folder.join("report.html").exists());
}
