//! Canaries: secrets that users pass to an agent, one per place that takes a user's value, and an agent that prints
//! everything it gets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::manifests::Manifests;
use super::{Scratch, through, write_program};

/// Not a secret. It must be found, or else the search for canaries proves nothing.
pub(crate) const CONTROL: &str = "control-value-that-may-be-seen";
/// Canaries in the matrix file, by the names of their variables or keys.
const IN_FILE: [(&str, &str); 4] = [
    ("DB_PASSWORD", "canary-in-env-7f3a"),
    ("api_token", "canary \"quoted\" in config?>"),
    ("private-key", "canary-nested-in-config-9c1d"),
    ("listed", "canary-listed-in-the-file-55"),
];
/// Canaries in the runner's environment. The first one has the minimum length of a secret.
const IN_ENVIRONMENT: [(&str, &str); 4] = [
    ("CANARY_SHORT", "§4~x"),
    ("CANARY_CONFIG", "canary-config-from-env-<&>-'1'"),
    ("CANARY_LINES", "canary line one 83\ncanary line two 84"),
    ("CANARY_LISTED", "canary-listed-from-env-pä$$"),
];
/// Canaries in Secrets: under `stringData` and under `data`.
const IN_MANIFESTS: [&str; 2] = ["canary-string-data-21", "canary-data-22"];
/// The token that agents register with.
const TOKEN: &str = "e2e-test-token";

/// An agent that prints its configuration and its environment, raw and encoded, and exits. Reports quote the last
/// lines.
const AGENT: &str = "#!/bin/sh\n\
    PATH=/usr/bin:/bin\n\
    while [ $# -gt 0 ]; do [ -f \"$1\" ] && cat \"$1\"; shift; done\n\
    env | base64\n\
    printf '%s' \"$DB_PASSWORD\" | base64\n\
    printf '%s' \"$FROM_ENV\" | base64\n\
    env\n\
    exit 1\n";
/// The programs that the agent needs in its image.
const PROGRAMS: [&str; 4] = ["/bin/sh", "/usr/bin/env", "/usr/bin/cat", "/usr/bin/base64"];

/// All canaries.
fn all() -> impl Iterator<Item = &'static str> {
    let named = IN_FILE.iter().chain(&IN_ENVIRONMENT);
    named
        .map(|(_, canary)| *canary)
        .chain(IN_MANIFESTS)
        .chain([TOKEN])
}

/// Writes the matrix file of one cell whose agent gets all canaries, with its manifests and its agent.
pub(crate) fn write(folder: &Path, kubernetes: &str) {
    let manifests = Manifests::shipped(folder);
    let [string, data] = IN_MANIFESTS;
    manifests.add(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "canaries", "namespace": "plexd-system" },
        "stringData": { "one": string }, "data": { "two": STANDARD.encode(data) },
    }));
    let reference = json!([{ "secretRef": { "name": "canaries" } }]);
    let container = "/spec/template/spec/containers/0";
    manifests.edit(
        "kubernetes/daemonset.yaml",
        &format!("{container}/envFrom"),
        &reference,
    );
    let agent = folder.join("image/agent.sh");
    fs::create_dir_all(agent.parent().unwrap()).unwrap();
    write_program(&agent, AGENT);
    let [(_, env), (_, config), (_, nested), (_, listed)] = IN_FILE;
    let text = format!(
        "[matrix]\nkubernetes = [\"{kubernetes}\"]\nconfig = [\"leaky\"]\n\
         [run]\nports = \"any\"\nsecrets = ['{listed}', {{ from-env = 'CANARY_LISTED' }}]\n\
         [images.agent]\nbuild = {{ context = 'image' }}\nbinary = 'image/agent.sh'\n\
         [config.leaky.env]\nDB_PASSWORD = '{env}'\nGREETING = '{CONTROL}'\nNOTE = 'see {listed}'\n\
         BRIEF = {{ from-env = 'CANARY_SHORT' }}\nFROM_ENV = {{ from-env = 'CANARY_LINES' }}\n\
         ALSO = {{ from-env = 'CANARY_LISTED' }}\n\
         [config.leaky.agent]\napi_token = '{config}'\nplain = {{ from-env = 'CANARY_CONFIG' }}\n\
         upstream = {{ servers = [ {{ private-key = '{nested}' }} ] }}\n{}",
        manifests.settings()
    );
    fs::write(folder.join("matrix.toml"), text).unwrap();
}

/// Writes a Dockerfile, the agent, and the programs that it needs to the build context of its image.
pub(crate) fn write_image(folder: &Path) {
    let image = folder.join("image");
    fs::write(
        image.join("Dockerfile"),
        "FROM scratch\nCOPY . /\nENTRYPOINT [\"/agent.sh\"]\n",
    )
    .unwrap();
    for program in PROGRAMS {
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for path in libraries.chain([program]) {
            let copy = image.join(path.trim_start_matches('/'));
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
    }
}

/// The binary with `arguments` and the canaries in its environment. The umask is 0, so only the binary itself can make
/// new files private.
pub(crate) fn command(scratch: &Scratch, arguments: &[&str]) -> Command {
    let run = scratch.process(arguments);
    let open = ["-c", "umask 0; exec \"$0\" \"$@\""];
    let mut command = through("/bin/sh", &open, &run);
    command.envs(IN_ENVIRONMENT);
    command
}

/// Everything that a run printed and wrote: streams by name, files by path.
pub(crate) struct Outputs(Vec<(PathBuf, String)>);

impl Outputs {
    /// Collects the streams of `output` and all files below `folders`.
    pub(crate) fn of(output: &Output, folders: &[PathBuf]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = vec![
            ("stdout".into(), text(&output.stdout)),
            ("stderr".into(), text(&output.stderr)),
        ];
        for file in folders.iter().flat_map(|folder| files(folder)) {
            let bytes = fs::read(&file).unwrap();
            found.push((file, text(&bytes)));
        }
        Self(found)
    }

    /// The files and streams that contain a canary, each with the form that was found.
    pub(crate) fn leaks(&self) -> Vec<(PathBuf, String)> {
        let forms: Vec<String> = all().flat_map(forms).collect();
        let seen = |text: &str| forms.iter().find(|form| text.contains(*form)).cloned();
        let leaks = self
            .0
            .iter()
            .filter_map(|(source, text)| Some((source.clone(), seen(text)?)));
        leaks.collect()
    }

    /// Asserts that every report shows the agent's log.
    pub(crate) fn assert_logs_are_reported(&self) {
        for report in ["events.ndjson", "junit.xml", "summary.md", "report.html"] {
            let is_seen = |(source, text): &(PathBuf, String)| {
                source.ends_with(report) && text.contains(CONTROL)
            };
            assert!(self.0.iter().any(is_seen), "the log is not in {report}");
        }
    }
}

/// All files below `folder`, except archives of images.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // An archive of images contains the reference agent and the mock, whose programs contain the token.
        if path.is_symlink() || path.extension().is_some_and(|extension| extension == "tar") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// The files below `folder` that other users could open.
pub(crate) fn open_to_others(folder: &Path) -> Vec<PathBuf> {
    let is_private = |path: &Path| {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        mode == mode & 0o700
    };
    let reachable = |file: &PathBuf| {
        let mut above = file.ancestors().take_while(|path| *path != folder);
        !above.any(is_private)
    };
    files(folder).into_iter().filter(reachable).collect()
}

/// A canary and each of its lines, in all the forms in which programs may write them.
fn forms(canary: &'static str) -> Vec<String> {
    let of = |text: &str| {
        let json = serde_json::Value::from(text).to_string();
        [
            text.to_owned(),
            json[1..json.len() - 1].to_owned(),
            STANDARD.encode(text),
            URL_SAFE_NO_PAD.encode(text),
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
        ]
    };
    canary.lines().chain([canary]).flat_map(of).collect()
}
