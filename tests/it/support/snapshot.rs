//! A real plexd with its own, unchanged manifests: it fails only because of the calls that it doesn't make yet.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use e2e_matrix::event::{CellVerdict, Symptom};
use e2e_matrix::matrix::Phase;

use super::{Scratch, record};

/// A folder with `plexd.zst`, a static binary, and its `manifests`.
const FOLDER: &str = "PLEXD_SNAPSHOT";
/// The counters of calls that this plexd doesn't make.
const MISSING: [&str; 4] = [
    "capabilities_count",
    "metrics_count",
    "logs_count",
    "audit_count",
];
const CONFIG: &str = "\
api:
  baseurl: ${e2e.mock-url}
registration:
  datadir: /var/lib/plexd
node_api:
  datadir: /var/lib/plexd
  socketpath: /var/run/plexd/api.sock
heartbeat:
  nodeid: e2e-k8s-node
  interval: 1s
";

/// The folder that the variable `PLEXD_SNAPSHOT` names.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env::var_os(FOLDER).expect("the variable PLEXD_SNAPSHOT is set to a folder"))
}

/// Unpacks the binary to `path`.
pub(crate) fn unpack(path: &Path) {
    Command::new("zstd")
        .args(["--decompress", "--quiet", "-o"])
        .args([path, &folder().join("plexd.zst")])
        .assert()
        .success();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Writes a matrix with two cells that differ in their expectations, with `image` in the table `images.agent`.
pub(crate) fn write_matrix(scratch: &Scratch, image: &str) {
    let missing = MISSING
        .map(|counter| format!("{counter} = \"any\""))
        .join(", ");
    let manifests = folder().join("manifests");
    let manifests = manifests.display();
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.34\"]\nconfig = [\"all\", \"lenient\"]\n\
         [deploy]\nmanifests = '{manifests}'\nagent-config = \"plexd.yaml\"\nprobes = false\n\
         [run]\nports = \"any\"\n\
         [images.agent]\n{image}\n\
         [config.all]\n[config.lenient]\nexpect = {{ {missing} }}\n\
         [phases.assertions]\ntimeout = \"15s\"\n[phases.local-endpoint]\nrun = false\n"
    );
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    fs::write(scratch.path().join("plexd.yaml"), CONFIG).unwrap();
}

/// Asserts that the cell that expects all calls fails only because of the missing calls, and that the lenient cell
/// passes.
pub(crate) fn assert_fails_only_for_missing_calls(scratch: &Scratch) {
    let run = record::read(scratch);
    let all = record::cell(&run, "k8s-1.34-n1-all");
    assert_eq!(
        record::deviations(all, Some(Phase::Assertions)),
        [] as [String; 0]
    );
    let failure = all
        .failed_phase()
        .and_then(|phase| phase.failure())
        .unwrap();
    assert_eq!(failure.symptom, Symptom::CounterNotMet, "{failure}");
    let rows = failure.evidence.iter().filter(|row| row.node.is_some());
    let missing: Vec<&str> = rows.map(|row| row.subject.as_str()).collect();
    assert_eq!(missing, MISSING);
    let lenient = record::cell(&run, "k8s-1.34-n1-lenient");
    assert_eq!(lenient.verdict, CellVerdict::Passed, "{lenient:?}");
}
