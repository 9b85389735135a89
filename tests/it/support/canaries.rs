//! Secrets that users hand to an agent, one per place that takes a user's value, and an agent that prints all it was given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::manifests::Manifests;
use super::{Scratch, through, write_program};

/// Not a secret: it must be found, or the search proves nothing.
pub(crate) const CONTROL: &str = "control-value-that-may-be-seen";
/// Canaries in the matrix file, by the names of the variables or keys that have them.
const IN_FILE: [(&str, &str); 4] = [
    ("DB_PASSWORD", "canary-in-env-7f3a"),
    ("api_token", "canary \"quoted\" in config?>"),
    ("private-key", "canary-nested-in-config-9c1d"),
    ("listed", "canary-listed-in-the-file-55"),
];
/// Canaries in the runner's environment. The first is as short as a secret may be.
const IN_ENVIRONMENT: [(&str, &str); 4] = [
    ("CANARY_SHORT", "§4~x"),
    ("CANARY_CONFIG", "canary-config-from-env-<&>-'1'"),
    ("CANARY_LINES", "canary line one 83\ncanary line two 84"),
    ("CANARY_LISTED", "canary-listed-from-env-pä$$"),
];
/// Canaries in Secrets: under `stringData` and under `data`.
const IN_MANIFESTS: [&str; 2] = ["canary-string-data-21", "canary-data-22"];
/// What agents register with.
const TOKEN: &str = "e2e-test-token";

/// An agent that prints its configuration and its environment, raw and encoded, and ends. Reports quote the last lines.
const AGENT: &str = "#!/bin/sh\n\
    PATH=/usr/bin:/bin\n\
    while [ $# -gt 0 ]; do [ -f \"$1\" ] && cat \"$1\"; shift; done\n\
    env | base64\n\
    printf '%s' \"$DB_PASSWORD\" | base64\n\
    printf '%s' \"$FROM_ENV\" | base64\n\
    env\n\
    exit 1\n";
/// What the agent needs in an image.
const PROGRAMS: [&str; 4] = ["/bin/sh", "/usr/bin/env", "/usr/bin/cat", "/usr/bin/base64"];

/// Every canary.
fn all() -> impl Iterator<Item = &'static str> {
    let named = IN_FILE.iter().chain(&IN_ENVIRONMENT);
    named
        .map(|(_, canary)| *canary)
        .chain(IN_MANIFESTS)
        .chain([TOKEN])
}

/// Writes the matrix file of one cell whose agent is handed every canary, with its manifests and its agent.
pub(crate) fn write(place: &Path, kubernetes: &str) {
    let manifests = Manifests::shipped(place);
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
    let agent = place.join("image/agent.sh");
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
    fs::write(place.join("matrix.toml"), text).unwrap();
}

/// Adds an image with the agent and what it needs to the folder that it is built from.
pub(crate) fn write_image(place: &Path) {
    let image = place.join("image");
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

/// The binary with `arguments` and the canaries of the environment. New files are as open as the binary lets them be.
pub(crate) fn command(place: &Scratch, arguments: &[&str]) -> Command {
    let run = place.process(arguments);
    let open = ["-c", "umask 0; exec \"$0\" \"$@\""];
    let mut command = through("/bin/sh", &open, &run);
    command.envs(IN_ENVIRONMENT);
    command
}

/// Everything that a run said and wrote: streams by their names, files by their paths.
pub(crate) struct Outputs(Vec<(PathBuf, String)>);

impl Outputs {
    /// What `output` holds, and all files below `folders`.
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

    /// Where a canary can be seen.
    pub(crate) fn leaks(&self) -> Vec<(PathBuf, String)> {
        let forms: Vec<String> = all().flat_map(forms).collect();
        let seen = |text: &str| forms.iter().find(|form| text.contains(*form)).cloned();
        let leaks = self
            .0
            .iter()
            .filter_map(|(place, text)| Some((place.clone(), seen(text)?)));
        leaks.collect()
    }

    /// Every report shows what the agent said.
    pub(crate) fn assert_logs_are_reported(&self) {
        for report in ["events.ndjson", "junit.xml", "summary.md", "report.html"] {
            let is_seen = |(place, text): &(PathBuf, String)| {
                place.ends_with(report) && text.contains(CONTROL)
            };
            assert!(self.0.iter().any(is_seen), "{report} lacks the log");
        }
    }
}

/// All files below `folder` but archives of images.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // An archive of images holds the reference agent and the mock, and so the token, which is a part of the program.
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

/// The files below `folder` that others could open.
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

/// A canary, or each of its lines, as programs write it.
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
