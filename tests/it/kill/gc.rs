//! `gc` beside runs: what it takes for dead, what it says, and what it leaves alone.

use std::fs;

use e2e_matrix::machine::LedgerContents;
use e2e_matrix::machine::marked::Marked;
use e2e_matrix::matrix::Phase;
use rustix::process::Signal;
use serde_json::Value;

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::support::Scratch;

/// What `gc` with `arguments` says: its exit code, and a row each of token, resource and outcome.
fn gc(place: &Scratch, arguments: &[&str]) -> (Option<i32>, Vec<[String; 3]>) {
    let all = [&["gc", "--json"], arguments].concat();
    let mut command = place.command(&all);
    let output = command.env("DOCKER_HOST", local::NO_ENGINE).output();
    let output = output.unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| ["run", "resource", "outcome"].map(|key| text(row, key));
    (output.status.code(), rows.iter().map(row).collect())
}

#[test]
fn a_live_run_is_not_touched_while_a_dead_one_goes() {
    let place = Scratch::new();
    left::prepare(&place);
    let dead = local::held(&place, Phase::Assertions);
    let known_dead = Known::of(&place);
    dead.signal(Signal::KILL);
    dead.end();
    assert!(
        !Marked::Run(known_dead.token.clone()).find().is_empty(),
        "its processes go on"
    );

    let alive = local::held(&place, Phase::Restart);
    let (code, would) = gc(&place, &["--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(!would.is_empty());
    for [run, _, outcome] in &would {
        assert_eq!(
            (run, outcome.as_str()),
            (&known_dead.token, "would be removed")
        );
    }
    assert!(!Marked::Run(known_dead.token.clone()).find().is_empty());

    let (code, removed) = gc(&place, &[]);
    assert_eq!(code, Some(0));
    let resources = |rows: &[[String; 3]]| {
        let resources = rows.iter().map(|[_, resource, _]| resource.clone());
        resources.collect::<Vec<_>>()
    };
    assert_eq!(
        resources(&removed),
        resources(&would),
        "what it said it would"
    );
    assert!(
        removed.iter().all(|[_, _, outcome]| outcome == "removed"),
        "{removed:?}"
    );
    assert!(Marked::Run(known_dead.token.clone()).find().is_empty());

    let known = Known::of(&place);
    assert_ne!(known.token, known_dead.token);
    assert!(
        !Marked::Run(known.token.clone()).find().is_empty(),
        "the live one lives"
    );
    alive.signal(Signal::INT);
    let ended = alive.end();
    assert_eq!(ended.code, Some(130));
    let mut told = ended.stderr.iter();
    let offer = told.find(|line| line.contains("left something behind"));
    let offer = offer.expect("a new run tells of what a dead one left");
    assert!(offer.contains("1 dead run left"), "{offer}");
    assert!(offer.ends_with(" gc"), "{offer}");
    known.assert_gone(&place);
    known_dead.assert_gone(&place);
}

#[test]
fn what_died_just_now_can_be_left_for_later() {
    let place = Scratch::new();
    left::prepare(&place);
    let dead = local::held(&place, Phase::Cluster);
    dead.signal(Signal::KILL);
    dead.end();
    assert_eq!(gc(&place, &["--older-than", "1h"]), (Some(0), Vec::new()));
    let (_, rows) = gc(&place, &["--older-than", "0s"]);
    // It was held before anything was made, so only its ledger was there.
    assert_eq!(rows, [] as [[String; 3]; 0]);
    assert_eq!(gc(&place, &["--dry-run"]), (Some(0), Vec::new()));
}

#[test]
fn two_at_once_are_no_trouble() {
    let place = Scratch::new();
    left::prepare(&place);
    let dead = local::held(&place, Phase::Periodic);
    let known = Known::of(&place);
    dead.signal(Signal::KILL);
    dead.end();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| local::gc(&place));
        }
    });
    // Each left to the others what they had claimed: together they have done all of it.
    known.assert_gone(&place);
}

#[test]
fn without_an_engine_a_cluster_stays_in_its_ledger() {
    let place = Scratch::new();
    let folder = place.path().join("state/runs/abcde");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    let ledger = r#"{"state":"planned","resource":{"type":"kind-cluster","name":"a-abcde"}}"#;
    fs::write(folder.join("ledger.ndjson"), format!("{ledger}\n")).unwrap();
    for _ in 0..2 {
        let (code, rows) = gc(&place, &[]);
        assert_eq!(code, Some(3), "{rows:?}");
        let expected = ["abcde", "cluster a-abcde", "FAILED"].map(str::to_owned);
        assert_eq!(rows, [expected]);
    }
}

#[test]
fn what_was_kept_goes_when_that_is_asked_for() {
    let place = Scratch::new();
    let folder = place.path().join("state/runs/abcde");
    let kept = folder.join("cells/one");
    fs::create_dir_all(&kept).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    let resource = format!(r#"{{"type":"folder","path":"{}"}}"#, kept.display());
    let other = folder.join("cells/two");
    fs::create_dir_all(&other).unwrap();
    let another = format!(r#"{{"type":"folder","path":"{}"}}"#, other.display());
    let planned = |resource: &str| format!("{{\"state\":\"planned\",\"resource\":{resource}}}\n");
    let keep = format!("{{\"state\":\"kept\",\"resource\":{resource},\"commands\":[\"ls\"]}}\n");
    let ledger = [planned(&resource), keep, planned(&another)].concat();
    fs::write(folder.join("ledger.ndjson"), ledger).unwrap();
    for expected in [&["kept", "removed"][..], &["kept"]] {
        let (code, rows) = gc(&place, &[]);
        let outcomes: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        assert_eq!((code, &outcomes[..]), (Some(0), expected));
    }
    assert!(kept.exists());
    assert!(!other.exists());
    let ledger = LedgerContents::read(&folder).unwrap();
    assert_eq!(ledger.left.len(), 1, "what was removed is told of no more");
    let (code, rows) = gc(&place, &["--kept"]);
    assert_eq!((code, rows[0][2].as_str()), (Some(0), "removed"));
    assert!(!folder.exists());
}

#[test]
fn a_ledger_is_not_believed_when_it_names_a_folder_elsewhere() {
    let place = Scratch::new();
    let folder = place.path().join("state/runs/abcde");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    let home = place.path().join("home");
    let resource = format!(r#"{{"type":"folder","path":"{}"}}"#, home.display());
    let ledger = format!("{{\"state\":\"planned\",\"resource\":{resource}}}\n");
    fs::write(folder.join("ledger.ndjson"), ledger).unwrap();
    assert_eq!(gc(&place, &[]).0, Some(3));
    assert!(home.exists());
}
