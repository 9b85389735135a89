//! A real plexd with its own manifests, unchanged: it fails for exactly what it lacks, and passes everything else.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Symptom};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::CellModel;

use crate::support::Scratch;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::record;

/// Far more than the clusters take.
const PATIENCE: Duration = Duration::from_secs(600);
const IMAGE: &str = "e2e-matrix-test/plexd-snapshot:1";
/// A folder with `plexd.zst`, a static binary, and its `manifests`.
const FOLDER: &str = "PLEXD_SNAPSHOT";
/// The calls that this plexd doesn't make.
const LACKS: [&str; 4] = [
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

/// Deletes the image at the end of the test.
struct Image;

impl Image {
    fn build(snapshot: &Path, place: &Scratch) -> Self {
        let context = place.path().join("image");
        fs::create_dir(&context).unwrap();
        let binary = context.join("plexd");
        succeed(
            Command::new("zstd")
                .args(["--decompress", "--quiet", "-o"])
                .args([&binary, &snapshot.join("plexd.zst")]),
        );
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let dockerfile = "FROM scratch\nCOPY plexd /plexd\nENTRYPOINT [\"/plexd\"]\n";
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let mut build = Command::new("docker");
        build
            .args(["build", "--quiet", "--tag", IMAGE])
            .arg(&context);
        succeed(&mut build);
        Self
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rmi", IMAGE]).output());
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

#[test]
#[ignore = "needs kind (creates 2 clusters), zstd, and a plexd in the folder PLEXD_SNAPSHOT"]
fn a_real_plexd_fails_for_exactly_what_it_lacks() {
    let snapshot = PathBuf::from(env::var_os(FOLDER).expect("PLEXD_SNAPSHOT names a folder"));
    let place = Scratch::new();
    let _image = Image::build(&snapshot, &place);
    let lacks = LACKS
        .map(|counter| format!("{counter} = \"any\""))
        .join(", ");
    let manifests = snapshot.join("manifests");
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.34\"]\nconfig = [\"all\", \"lenient\"]\n\
         [deploy]\nmanifests = {manifests:?}\nagent-config = \"plexd.yaml\"\nprobes = false\n\
         [images.agent]\ntag = \"{IMAGE}\"\n\
         [config.all]\n[config.lenient]\nexpect = {{ {lacks} }}\n\
         [phases.assertions]\ntimeout = \"15s\"\n[phases.local-endpoint]\nrun = false\n"
    );
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    fs::write(place.path().join("plexd.yaml"), CONFIG).unwrap();
    let output = place
        .command(&["--provider", "kind"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&place);
    let all = record::cell(&run, "k8s-1.34-n1-all");
    assert_eq!(
        record::deviations(all, Some(Phase::Assertions)),
        [] as [String; 0]
    );
    let failure = all.red_phase().and_then(|phase| phase.failure()).unwrap();
    assert_eq!(failure.symptom, Symptom::CounterNotMet, "{failure}");
    let rows = failure.evidence.iter().filter(|row| row.node.is_some());
    let missing: Vec<&str> = rows.map(|row| row.subject.as_str()).collect();
    assert_eq!(missing, LACKS);
    let lenient = record::cell(&run, "k8s-1.34-n1-lenient");
    assert_eq!(lenient.verdict, CellVerdict::Passed, "{lenient:?}");
}

#[test]
#[ignore = "needs kind (creates 4 clusters), zstd, and a plexd in the folder PLEXD_SNAPSHOT"]
fn a_real_plexd_and_the_reference_agent_run_side_by_side() {
    let snapshot = PathBuf::from(env::var_os(FOLDER).expect("PLEXD_SNAPSHOT names a folder"));
    let place = Scratch::new();
    let _image = Image::build(&snapshot, &place);
    let manifests = snapshot.join("manifests");
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.34\", \"1.36\"]\nagent = [\"reference\", \"snapshot\"]\n\
         [deploy]\nprobes = false\n\
         [agent.reference]\n[agent.snapshot]\nimage = \"{IMAGE}\"\nmanifests = {manifests:?}\n\
         [agent.snapshot.agent]\n\
         api = {{ baseurl = \"${{e2e.mock-url}}\" }}\n\
         registration = {{ datadir = \"/var/lib/plexd\" }}\n\
         node_api = {{ datadir = \"/var/lib/plexd\", socketpath = \"/var/run/plexd/api.sock\" }}\n\
         heartbeat = {{ nodeid = \"e2e-k8s-node\", interval = \"1s\" }}\n\
         [phases.assertions]\ntimeout = \"30s\"\n[phases.local-endpoint]\nrun = false\n"
    );
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    let output = place
        .command(&["--provider", "kind", "--reuse"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&place);
    for version in ["1.34", "1.36"] {
        let cell = |agent| record::cell(&run, &format!("k8s-{version}-n1-default-agent-{agent}"));
        let (reference, snapshot) = (cell("reference"), cell("snapshot"));
        assert_eq!(reference.verdict, CellVerdict::Passed, "{reference:?}");
        assert_eq!(
            record::deviations(snapshot, Some(Phase::Assertions)),
            [] as [String; 0]
        );
        let agent = |cell: &CellModel| cell.facts.as_ref().unwrap().agent.clone();
        assert!(agent(snapshot).starts_with(IMAGE), "{}", agent(snapshot));
        assert!(!agent(reference).starts_with(IMAGE), "{}", agent(reference));
        // Another agent's cluster is not passed on.
        assert_ne!(reference.cluster, snapshot.cluster);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = "2 of 2 cells with agent-snapshot failed, 0 of 2 others\n";
    assert!(stdout.contains(line), "{stdout}");
    assert!(!stdout.contains("instead of"), "{stdout}");
}
