//! `gc` next to other runs: which runs it considers dead, what it prints, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use e2e_matrix::machine::marked::Marked;
use e2e_matrix::machine::{LedgerContents, Owner};
use e2e_matrix::matrix::Phase;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::support::Scratch;

/// Runs `gc` with `arguments`. Returns its exit code, and the columns `keys` of each row.
fn columns<const N: usize>(
    scratch: &Scratch,
    arguments: &[&str],
    keys: [&str; N],
) -> (Option<i32>, Vec<[String; N]>) {
    let mut command = scratch.command(&[&["gc", "--json"], arguments].concat());
    let output = command.env("DOCKER_HOST", local::NO_ENGINE).output();
    let output = output.unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| keys.map(|key| text(row, key));
    (output.status.code(), rows.iter().map(row).collect())
}

/// Runs `gc` with `arguments`. Returns its exit code, and a row per resource: token, resource and outcome.
fn gc(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, Vec<[String; 3]>) {
    columns(scratch, arguments, ["run", "resource", "outcome"])
}

/// Creates the private folder `name` of a run that isn't alive, with a lock and without a ledger.
fn run_folder(scratch: &Scratch, name: &str) -> PathBuf {
    let folder = scratch.path().join("state/runs").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    folder
}

/// Writes the ledger of a dead run. `lines` are its lines after the first one. Returns the run's folder.
fn dead_run(scratch: &Scratch, lines: &str) -> PathBuf {
    let folder = run_folder(scratch, "abcde");
    let owner = serde_json::to_string(&Owner::new("abcde", scratch.path().join("out"))).unwrap();
    let began = format!(r#"{{"state":"began","owner":{owner}}}"#);
    fs::write(folder.join("ledger.ndjson"), format!("{began}\n{lines}")).unwrap();
    folder
}

/// A ledger's line about a planned resource.
fn planned(provider: &str, name: &str, payload: &Value) -> String {
    let resource = json!({"provider": provider, "name": name, "payload": payload});
    let line = json!({"state": "planned", "resource": resource});
    format!("{line}\n")
}

fn planned_folder(path: &Path) -> String {
    let name = format!("folder {}", path.display());
    planned("host", &name, &json!({"type": "folder", "path": path}))
}

#[test]
fn a_dead_run_is_deleted_and_a_live_one_is_not_touched() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let dead = local::held(&scratch, Phase::Assertions);
    let known_dead = Known::of(&scratch);
    dead.signal(Signal::KILL);
    dead.end();
    let has_processes = |known: &Known| !Marked::Run(known.token.clone()).find().is_empty();
    assert!(has_processes(&known_dead), "they keep running");

    let alive = local::held(&scratch, Phase::Restart);
    let (code, planned) = gc(&scratch, &["--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(!planned.is_empty());
    for [run, _, outcome] in &planned {
        assert_eq!(
            (run, outcome.as_str()),
            (&known_dead.token, "would be deleted")
        );
    }
    assert!(has_processes(&known_dead));

    let (code, removed) = gc(&scratch, &[]);
    assert_eq!(code, Some(0));
    let resources = |rows: &[[String; 3]]| {
        let resources = rows.iter().map(|[_, resource, _]| resource.clone());
        resources.collect::<Vec<_>>()
    };
    assert_eq!(
        resources(&removed),
        resources(&planned),
        "it must remove what --dry-run listed"
    );
    assert!(
        removed.iter().all(|[_, _, outcome]| outcome == "deleted"),
        "{removed:?}"
    );
    assert!(!has_processes(&known_dead));

    let known = Known::of(&scratch);
    assert_ne!(known.token, known_dead.token);
    assert!(has_processes(&known), "the run is alive");
    alive.signal(Signal::INT);
    let ended = alive.end();
    assert_eq!(ended.code, Some(130));
    let mut lines = ended.stderr.iter();
    let offer = lines.find(|line| line.contains("left resources behind"));
    let offer = offer.expect("a new run reports what a dead run left behind");
    assert!(offer.contains("1 dead run left"), "{offer}");
    assert!(offer.ends_with(" gc"), "{offer}");
    known.assert_gone(&scratch);
    known_dead.assert_gone(&scratch);
}

#[test]
fn gc_can_skip_runs_that_died_recently() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let dead = local::held(&scratch, Phase::Cluster);
    dead.signal(Signal::KILL);
    dead.end();
    assert_eq!(gc(&scratch, &["--older-than", "1h"]), (Some(0), Vec::new()));
    let (_, rows) = gc(&scratch, &["--older-than", "0s"]);
    // The run was held before it created anything, so only its ledger exists.
    assert_eq!(rows, [] as [[String; 3]; 0]);
    assert_eq!(gc(&scratch, &["--dry-run"]), (Some(0), Vec::new()));
}

#[test]
fn several_gc_processes_can_run_at_once() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let dead = local::held(&scratch, Phase::Periodic);
    let known = Known::of(&scratch);
    dead.signal(Signal::KILL);
    dead.end();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| local::gc(&scratch));
        }
    });
    // Each process skips the resources that another one has claimed. Together, the processes have deleted everything.
    known.assert_gone(&scratch);
}

#[test]
fn without_an_engine_a_cluster_stays_in_its_ledger() {
    let scratch = Scratch::new();
    let claim = json!({"type": "cluster", "name": "a-abcde", "mark": "abcde/cell", "seal": "none", "planned": "2026-01-01T00:00:00Z"});
    dead_run(&scratch, &planned("kind", "cluster a-abcde", &claim));
    for _ in 0..2 {
        let (code, rows) = gc(&scratch, &[]);
        assert_eq!(code, Some(3), "{rows:?}");
        let expected = ["abcde", "cluster a-abcde", "FAILED"].map(str::to_owned);
        assert_eq!(rows, [expected]);
    }
}

#[test]
fn kept_clusters_are_deleted_on_request() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("state/runs/abcde");
    let kept = folder.join("cells/one");
    fs::create_dir_all(&kept).unwrap();
    let other = folder.join("cells/two");
    fs::create_dir_all(&other).unwrap();
    let keep = planned_folder(&kept).replace(r#""planned""#, r#""kept","commands":["ls"]"#);
    let lines = [planned_folder(&kept), keep, planned_folder(&other)];
    dead_run(&scratch, &lines.concat());
    for expected in [&["deleted", "kept"][..], &["kept"]] {
        let (code, rows) = gc(&scratch, &[]);
        let outcomes: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        assert_eq!((code, &outcomes[..]), (Some(0), expected));
    }
    assert!(kept.exists());
    assert!(!other.exists());
    let ledger = LedgerContents::read(&folder).unwrap();
    assert_eq!(
        ledger.left.len(),
        1,
        "deleted resources are no longer listed"
    );
    let (code, rows) = gc(&scratch, &["--kept"]);
    assert_eq!((code, rows[0][2].as_str()), (Some(0), "deleted"));
    assert!(!folder.exists());
}

#[test]
fn a_folder_outside_the_run_in_a_ledger_is_not_deleted() {
    let scratch = Scratch::new();
    let home = scratch.path().join("home");
    let runs_own = scratch.path().join("state/runs/abcde");
    let climbing = runs_own.join("../../../home");
    dead_run(
        &scratch,
        &[planned_folder(&home), planned_folder(&climbing)].concat(),
    );
    let (code, rows) = gc(&scratch, &[]);
    assert_eq!((code, rows.len()), (Some(3), 2), "{rows:?}");
    assert!(home.exists());
}

#[test]
fn an_entry_of_a_newer_version_is_reported_and_the_rest_is_deleted() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("state/runs/abcde");
    let own = folder.join("cells/one");
    fs::create_dir_all(&own).unwrap();
    let lines = [
        planned("moon", "base 1", &json!([1])),
        planned("host", "disk 2", &json!({"type": "disk", "number": 2})),
        planned_folder(&own),
    ];
    dead_run(&scratch, &lines.concat());
    let failed = ["disk 2", "base 1"].map(|name| ["abcde", name, "FAILED"].map(str::to_owned));
    let removed = [
        "abcde".to_owned(),
        format!("folder {}", own.display()),
        "deleted".to_owned(),
    ];
    let expected = [&[removed][..], &failed].concat();
    assert_eq!(gc(&scratch, &[]), (Some(3), expected));
    assert!(!own.exists());
    assert_eq!(
        gc(&scratch, &[]),
        (Some(3), failed.to_vec()),
        "entries that can't be deleted are reported again"
    );
}

#[test]
fn entries_of_another_version_are_reported_with_file_reason_and_next_step() {
    let scratch = Scratch::new();
    let lent = r#"{"state":"lent","resource":{"provider":"moon","name":"base 2"}}"#;
    let disk = planned("host", "disk 2", &json!({"type": "disk", "number": 2}));
    dead_run(
        &scratch,
        &[&planned("moon", "base 1", &json!([1])), &disk, lent].concat(),
    );
    let without_process = run_folder(&scratch, "bbbbb");
    let began = r#"{"state":"began","owner":{"run":"bbbbb","folder":"/out","started":"2026-01-01T00:00:00Z","version":"0.0.1"}}"#;
    fs::write(without_process.join("ledger.ndjson"), began).unwrap();
    let (code, rows) = columns(&scratch, &[], ["resource", "outcome", "detail"]);
    assert_eq!(code, Some(3));
    let runs = scratch.path().join("state/runs");
    let line = |row: &[String; 3]| row.join("\n  ").replace(runs.to_str().unwrap(), "/runs");
    let lines: Vec<String> = rows.iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_mark_of_another_run_in_a_ledger_is_rejected() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let alive = local::held(&scratch, Phase::Assertions);
    let known = Known::of(&scratch);
    let mark = json!({"type": "processes", "mark": format!("{}/cell", known.token)});
    dead_run(&scratch, &planned("host", "processes", &mark));
    let (code, rows) = gc(&scratch, &[]);
    assert_eq!((code, rows.len()), (Some(3), 1), "{rows:?}");
    alive.signal(Signal::INT);
    assert_eq!(alive.end().code, Some(130));
}

#[test]
fn only_the_dead_runs_own_temporary_files_are_deleted() {
    let scratch = Scratch::new();
    let folder = dead_run(&scratch, "");
    let owner = LedgerContents::read(&folder).unwrap().owner.unwrap();
    fs::create_dir_all(&owner.folder).unwrap();
    let files = |process: &str| {
        let name = format!(".e2e-matrix-{process}-x.part");
        [
            owner.folder.join(&name),
            scratch.path().join("state").join(&name),
        ]
    };
    let own = files(&owner.process);
    let others = files(&std::process::id().to_string());
    for file in own.iter().chain(&others) {
        fs::write(file, "").unwrap();
    }
    assert_eq!(gc(&scratch, &[]).0, Some(0));
    assert!(!own.iter().any(|file| file.exists()));
    assert!(others.iter().all(|file| file.exists()));
}

#[test]
fn an_unreadable_ledger_is_reported_and_the_rest_is_deleted() {
    let scratch = Scratch::new();
    let mine = dead_run(&scratch, "");
    let runs = scratch.path().join("state/runs");
    let ledger = |name: &str| run_folder(&scratch, name).join("ledger.ndjson");
    fs::create_dir(ledger("aaaaa")).unwrap();
    fs::write(ledger("bbbbb"), b"\xff\xfe\n").unwrap();
    fs::write(runs.join("stray"), "not a run").unwrap();
    fs::create_dir_all(runs.join("zzzzz/theirs")).unwrap();
    let cache = scratch.path().join("state/cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("theirs"), "").unwrap();
    fs::create_dir(scratch.path().join("state/locks")).unwrap();
    fs::create_dir(scratch.path().join("state/locks/theirs")).unwrap();
    fs::write(scratch.path().join("state/locks/empty"), "").unwrap();
    for _ in 0..2 {
        let (code, rows) = gc(&scratch, &[]);
        assert_eq!(code, Some(3), "{rows:?}");
        let failed = |name: &str| {
            let resource = format!("folder {}", runs.join(name).display());
            [String::new(), resource, "FAILED".to_owned()]
        };
        assert_eq!(rows, ["aaaaa", "bbbbb"].map(failed));
    }
    assert!(!mine.exists());
    for theirs in ["stray", "zzzzz/theirs", "aaaaa/lock", "bbbbb/ledger.ndjson"] {
        assert!(runs.join(theirs).exists(), "{theirs}");
    }
    assert!(cache.join("theirs").exists());
    assert!(scratch.path().join("state/locks/theirs").exists());
    assert!(scratch.path().join("state/locks/empty").exists());
}

#[test]
#[ignore = "needs root, because only root can give folders to another user"]
fn resources_of_another_user_are_reported_and_stay() {
    const NOBODY: u32 = 65534;
    let scratch = Scratch::new();
    let mine = dead_run(&scratch, "");
    let state = scratch.path().join("state");
    let roots = run_folder(&scratch, "rroot");
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
    let folders = [scratch.path(), &state, &state.join("runs"), &mine];
    let files = [mine.join("lock"), mine.join("ledger.ndjson")];
    for path in folders
        .into_iter()
        .chain(files.iter().map(PathBuf::as_path))
    {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = scratch.path().join("e2e-matrix");
    fs::copy(env!("CARGO_BIN_EXE_e2e-matrix"), &program).unwrap();
    let mut command = std::process::Command::new(program);
    command.arg("gc").env("E2E_MATRIX_STATE_DIR", &state);
    command.env("DOCKER_HOST", local::NO_ENGINE);
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.contains("runs/rroot") && stdout.contains("FAILED"),
        "{stdout}"
    );
    assert!(!mine.exists(), "{stdout}");
    assert!(roots.join("lock").exists());
}
