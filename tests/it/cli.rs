//! Runs the real binary with bad input: each case gets a clear error and its documented exit code, and never a panic.

use std::fs;

use crate::support::Scratch;

/// A bad input: the matrix file, the arguments, the exit code, and what stderr must contain.
struct Case {
    name: &'static str,
    matrix: &'static str,
    arguments: &'static [&'static str],
    code: i32,
    stderr: &'static [&'static str],
}

const GOOD: &str = "[matrix]\nkubernetes = [\"1.36\"]\nconfig = [\"default\"]\nnodes = [1]\n";

const CASES: &[Case] = &[
    Case {
        name: "empty file",
        matrix: "",
        arguments: &[],
        code: 2,
        stderr: &["the file is empty"],
    },
    Case {
        name: "syntax error",
        matrix: "[matrix\n",
        arguments: &[],
        code: 2,
        stderr: &["matrix.toml:1"],
    },
    Case {
        name: "unknown key",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nnode = [1]\n",
        arguments: &[],
        code: 2,
        stderr: &[
            "unknown key `node`",
            "did you mean `nodes`?",
            "matrix.toml:3:1",
        ],
    },
    Case {
        name: "wrong type",
        matrix: "[matrix]\nkubernetes = \"1.36\"\n",
        arguments: &[],
        code: 2,
        stderr: &["matrix.toml:2"],
    },
    Case {
        name: "unquoted version",
        matrix: "[matrix]\nkubernetes = [1.30]\n",
        arguments: &[],
        code: 2,
        stderr: &["`1.30` is the number 1.3", "\"1.30\""],
    },
    Case {
        name: "unknown version in an exclude",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\n[[matrix.exclude]]\nkubernetes = \"1.35\"\n",
        arguments: &[],
        code: 2,
        stderr: &["1.35", "matrix.toml:4"],
    },
    Case {
        name: "duplicate ids",
        matrix: "[matrix]\nkubernetes = [\"1.36\", \"1.36\"]\n",
        arguments: &[],
        code: 2,
        stderr: &["1.36", "matrix.toml:2"],
    },
    Case {
        name: "a config name that reads as a node count",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nconfig = [\"n3\"]\n",
        arguments: &[],
        code: 2,
        stderr: &["node count"],
    },
    Case {
        name: "zero nodes",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [0]\n",
        arguments: &[],
        code: 2,
        stderr: &["`nodes` can't be 0"],
    },
    Case {
        name: "negative nodes",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [-3]\n",
        arguments: &[],
        code: 2,
        stderr: &["`nodes` can't be -3"],
    },
    Case {
        name: "several problems at once",
        matrix: "[matrix]\nkubernetes = [1.30]\nnodes = [0]\n[run]\njobs = 0\n",
        arguments: &[],
        code: 2,
        stderr: &[
            "3 problems",
            "number 1.3",
            "`nodes` can't be 0",
            "`jobs` can't be 0",
        ],
    },
    Case {
        name: "no jobs",
        matrix: GOOD,
        arguments: &["--jobs", "0"],
        code: 2,
        stderr: &["a number from 1 to 10000"],
    },
    Case {
        name: "an unknown option",
        matrix: GOOD,
        arguments: &["--job", "1"],
        code: 2,
        stderr: &["--jobs"],
    },
    Case {
        name: "an option that was renamed",
        matrix: GOOD,
        arguments: &["--out", "runs"],
        code: 2,
        stderr: &["'--out' was renamed to '--output-dir'"],
    },
    Case {
        name: "a key that was renamed",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\n[images.agent]\ntag = \"a:1\"\n[run]\ntuned = false\n[phases.restart]\nrestart = \"all\"\n",
        arguments: &[],
        code: 2,
        stderr: &[
            "it was renamed to `image`",
            "it was renamed to `fast-setup`",
            "it was renamed to `agents`",
        ],
    },
    Case {
        name: "a deadline without a phase",
        matrix: GOOD,
        arguments: &["--phase-timeout", "5m"],
        code: 2,
        stderr: &["readiness=180s", "`--run-timeout`"],
    },
    Case {
        name: "a list of no cells",
        matrix: GOOD,
        arguments: &["list", "--shard", "5/5"],
        code: 4,
        stderr: &["shard 5/5 of the selected cells is empty"],
    },
    Case {
        name: "an explanation of something unknown",
        matrix: GOOD,
        arguments: &["explain", "agent-crash"],
        code: 2,
        stderr: &[
            "neither a cell of the matrix nor a symptom",
            "`agent-crashed`",
        ],
    },
    Case {
        name: "an unknown phase",
        matrix: GOOD,
        arguments: &["--phase-timeout", "readyness=1s"],
        code: 2,
        stderr: &["readyness", "readiness"],
    },
    Case {
        name: "a port range that is too small",
        matrix: "[matrix]\nkubernetes = [\"1.33\", \"1.34\", \"1.36\"]\n[run]\nports = \"18080-18081\"\n",
        arguments: &["--jobs", "3"],
        code: 2,
        stderr: &["ports"],
    },
    Case {
        name: "a filter that does not parse",
        matrix: GOOD,
        arguments: &["--filter", "k8s-1.36 and"],
        code: 2,
        stderr: &["filter:1"],
    },
    Case {
        name: "a filter whose term matches nothing",
        matrix: GOOD,
        arguments: &["--filter", "k8s-1.3"],
        code: 2,
        stderr: &["matches nothing", "k8s-1.36"],
    },
    Case {
        name: "a filter that selects nothing",
        matrix: GOOD,
        arguments: &["--filter", "k8s > 1.36"],
        code: 4,
        stderr: &["nothing to do"],
    },
    Case {
        name: "a filter that selects nothing, with --no-cells pass",
        matrix: GOOD,
        arguments: &["--filter", "k8s > 1.36", "--no-cells", "pass"],
        code: 0,
        stderr: &["nothing to do"],
    },
    Case {
        name: "a shard in the wrong format",
        matrix: GOOD,
        arguments: &["--shard", "second"],
        code: 2,
        stderr: &["`<index>/<count>`"],
    },
    Case {
        name: "a shard with the index 0",
        matrix: GOOD,
        arguments: &["--shard", "0/5"],
        code: 2,
        stderr: &["1/5 to 5/5"],
    },
    Case {
        name: "too many shards",
        matrix: GOOD,
        arguments: &["--shard", "1/4294967295"],
        code: 2,
        stderr: &["at most 10000 shards"],
    },
    Case {
        name: "a run timeout that overflows",
        matrix: GOOD,
        arguments: &["--run-timeout", "18446744073709551615s 999ms"],
        code: 2,
        stderr: &["at most 720h"],
    },
    Case {
        name: "a phase timeout of more than a day",
        matrix: GOOD,
        arguments: &["--phase-timeout", "cleanup=25h"],
        code: 2,
        stderr: &["at most 24h"],
    },
    Case {
        name: "too many jobs",
        matrix: GOOD,
        arguments: &["--jobs", "18446744073709551615"],
        code: 2,
        stderr: &["1 to 10000"],
    },
    Case {
        name: "an empty shard",
        matrix: GOOD,
        arguments: &["--shard", "5/5"],
        code: 4,
        stderr: &["shard 5/5 of the selected cells is empty"],
    },
    Case {
        name: "a timings file in the wrong format",
        matrix: GOOD,
        arguments: &["--shard", "1/2", "--timings", "matrix.toml"],
        code: 2,
        stderr: &["timings matrix.toml", "maps cell ids to milliseconds"],
    },
    Case {
        name: "a matrix without cells",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\n[[matrix.exclude]]\nkubernetes = \"1.36\"\n",
        arguments: &[],
        code: 4,
        stderr: &["the matrix has no cells"],
    },
    Case {
        name: "an image that the local provider can't run",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\n[images.agent]\nimage = \"registry.example/plexd:1.4\"\n",
        arguments: &["--provider", "local"],
        code: 2,
        stderr: &["[images.agent]", "binary"],
    },
    Case {
        name: "a folder of manifests that does not exist",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\n[deploy]\nmanifests = \"nowhere\"\n",
        arguments: &["--provider", "local"],
        code: 2,
        stderr: &["nowhere", "[deploy]"],
    },
    Case {
        name: "one cluster name for several cells",
        matrix: "[matrix]\nkubernetes = [\"1.34\", \"1.36\"]\n",
        arguments: &["--provider", "local", "--cluster-name", "one"],
        code: 2,
        stderr: &["2 cells are selected"],
    },
    Case {
        name: "a value of an axis without its table",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.4\"]\n",
        arguments: &["--provider", "local"],
        code: 2,
        stderr: &[
            "matrix.toml:3:10",
            "the agent `1.4` has no table",
            "[agent.\"1.4\"]",
        ],
    },
    Case {
        name: "an agent that is an image, on local",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.4\"]\n[agent.\"1.4\"]\nimage = \"plexd:1.4\"\n",
        arguments: &["--provider", "local"],
        code: 2,
        stderr: &["[agent.\"1.4\"]", "`binary`"],
    },
    Case {
        name: "an agent that is a binary, on kind",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.4\"]\n[agent.\"1.4\"]\nbinary = \"plexd\"\n",
        arguments: &["--provider", "kind"],
        code: 2,
        stderr: &["[agent.\"1.4\"]", "`image`"],
    },
    Case {
        name: "a folder of manifests of a value that does not exist",
        matrix: "[matrix]\nkubernetes = [\"1.36\"]\nagent = [\"1.4\"]\n[agent.\"1.4\"]\nmanifests = \"nowhere\"\n",
        arguments: &["--provider", "local"],
        code: 2,
        stderr: &["nowhere", "[agent.\"1.4\"]"],
    },
    Case {
        name: "the kind provider without kind",
        matrix: GOOD,
        arguments: &["--provider", "kind"],
        code: 3,
        stderr: &["kind"],
    },
    Case {
        name: "an output folder that can't be written",
        matrix: GOOD,
        arguments: &["--provider", "local", "--output-dir", "matrix.toml/out"],
        code: 3,
        stderr: &["output folder", "--output-dir"],
    },
    Case {
        name: "a report whose folder can't be created",
        matrix: GOOD,
        arguments: &["--provider", "local", "--junit", "matrix.toml/junit.xml"],
        code: 3,
        stderr: &["junit.xml"],
    },
];

#[test]
fn every_bad_input_gets_a_clear_error() {
    let mut wrong = Vec::new();
    for case in CASES {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("matrix.toml"), case.matrix).unwrap();
        let output = scratch.command(case.arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        let missing: Vec<_> = case
            .stderr
            .iter()
            .filter(|text| !stderr.contains(**text))
            .collect();
        let panicked = stderr.contains("panicked") || stderr.contains("RUST_BACKTRACE");
        if code != Some(case.code) || !missing.is_empty() || panicked {
            wrong.push(format!(
                "{}: exit {code:?}, missing {missing:?}\n{stderr}",
                case.name
            ));
        }
        let runs = scratch.path().join("target/e2e-matrix");
        let created = runs.exists() && fs::read_dir(&runs).unwrap().next().is_some();
        if created && case.code == 2 {
            wrong.push(format!(
                "{}: a rejected run left a folder behind",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

#[test]
fn the_error_for_a_missing_matrix_file_shows_how_to_write_one() {
    let scratch = Scratch::new();
    let output = scratch.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("no matrix.toml") && stderr.contains("[matrix]"),
        "{stderr}"
    );
}

#[test]
fn a_variable_with_the_old_name_of_an_option_is_an_error() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), GOOD).unwrap();
    let mut command = scratch.command(&["list"]);
    let output = command.env("E2E_MATRIX_OUT", "runs").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("was renamed to E2E_MATRIX_OUTPUT_DIR"),
        "{stderr}"
    );
}

#[test]
fn a_symptom_is_explained_without_a_matrix_file() {
    let scratch = Scratch::new();
    let output = scratch
        .command(&["explain", "agent-crashed"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("- The agent rejects its configuration."),
        "{text}"
    );
}

#[test]
fn each_command_has_a_manual_page() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("man/man1");
    let output = scratch.command(&["man", "man/man1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(page("e2e-matrix.1").contains(".TH e2e-matrix 1"));
    assert!(page("e2e-matrix-run.1").contains("E2E_MATRIX_JOBS"));
    assert!(
        !folder.join("e2e-matrix-agent.1").exists(),
        "a hidden command"
    );
}

#[test]
fn the_short_help_fits_one_screen_and_names_no_variables() {
    let scratch = Scratch::new();
    let short = scratch.command(&["run", "-h"]).output().unwrap();
    let short = String::from_utf8_lossy(&short.stdout).into_owned();
    assert!(short.lines().count() <= 40, "{short}");
    assert!(!short.contains("E2E_MATRIX_"), "{short}");
    let long = scratch.command(&["run", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&long.stdout).contains("E2E_MATRIX_JOBS"));
}

#[test]
fn the_matrix_file_is_found_from_a_subfolder() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), GOOD).unwrap();
    let below = scratch.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let output = scratch
        .command(&["list"])
        .current_dir(below)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("k8s-1.36-n1-default"));
}

#[test]
fn the_list_is_data_on_stdout() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), GOOD).unwrap();
    let output = scratch.command(&["list", "--json"]).output().unwrap();
    assert!(output.stderr.is_empty());
    let cells: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        cells,
        serde_json::json!([{
            "id": "k8s-1.36-n1-default",
            "kubernetes": "1.36",
            "nodes": 1,
            "config": "default",
            "tags": [],
            "allow-failure": false,
        }])
    );
}
