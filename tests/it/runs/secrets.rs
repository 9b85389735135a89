//! Secrets that users hand to an agent reach no output, although the agent prints everything that it was given and its cell fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::Scratch;

const PATIENCE: Duration = Duration::from_secs(120);
/// Not a secret: it must be found, or the search proves nothing.
const CONTROL: &str = "control-value-that-may-be-seen";
/// One canary per place that takes a user's value.
const CANARIES: [&str; 4] = [
    "canary-in-env-7f3a",
    "canary \"quoted\" in config?>",
    "canary-nested-in-config-9c1d",
    // What agents register with.
    "e2e-test-token",
];

fn matrix() -> String {
    let [env, config, nested, _] = CANARIES;
    format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"leaky\"]\n[run]\nports = \"any\"\n\
         [images.agent]\ntag = \"agent.example/leaky:1\"\nbinary = \"agent.sh\"\n\
         [config.leaky]\nenv = {{ DB_PASSWORD = '{env}', GREETING = '{CONTROL}' }}\n\
         [config.leaky.agent]\napi_token = '{config}'\nupstream = {{ servers = [ {{ private-key = '{nested}' }} ] }}\n"
    )
}

/// An agent that prints its environment and its configuration, raw and encoded, and ends.
const AGENT: &str = "#!/bin/sh\n\
    PATH=/usr/bin:/bin\n\
    env\n\
    for argument; do [ -f \"$argument\" ] && cat \"$argument\"; done\n\
    printf '%s' \"$DB_PASSWORD\" | base64\n\
    exit 1\n";

/// All texts below `folder`.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
}

fn forms(canary: &str) -> [String; 4] {
    let json = serde_json::Value::from(canary).to_string();
    [
        canary.to_owned(),
        json[1..json.len() - 1].to_owned(),
        STANDARD.encode(canary),
        URL_SAFE_NO_PAD.encode(canary),
    ]
}

#[test]
fn no_secret_of_a_user_reaches_any_output() {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), matrix()).unwrap();
    let agent = place.path().join("agent.sh");
    fs::write(&agent, AGENT).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let output = place
        .command(&["--provider", "local", "--log", "trace"])
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let (stdout, stderr) = (output.stdout, output.stderr);
    let mut found = vec![
        ("stdout".to_owned(), String::from_utf8(stdout).unwrap()),
        ("stderr".to_owned(), String::from_utf8(stderr).unwrap()),
    ];
    assert_eq!(output.status.code(), Some(1), "{}", found[1].1);
    texts(&place.path().join("target"), &mut found);
    texts(&place.path().join("state"), &mut found);
    let leaks: Vec<String> = CANARIES
        .iter()
        .flat_map(|canary| forms(canary))
        .flat_map(|form| {
            let hits = found.iter().filter(move |(_, text)| text.contains(&form));
            hits.map(|(place, _)| place.clone()).collect::<Vec<_>>()
        })
        .collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    for report in ["events.ndjson", "junit.xml", "summary.md", "report.html"] {
        let is_seen =
            |(place, text): &&(String, String)| place.ends_with(report) && text.contains(CONTROL);
        assert!(
            found.iter().any(|file| is_seen(&file)),
            "{report} lacks the log"
        );
    }
}
