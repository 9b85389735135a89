//! A real plexd on real clusters.

use std::fs;
use std::process::Command;
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::CellModel;

use crate::support::inherited::{ENGINE, inherited};
use crate::support::{Scratch, record, snapshot};

/// Far longer than the clusters need.
const PATIENCE: Duration = Duration::from_secs(600);
const IMAGE: &str = "e2e-matrix-test/plexd-snapshot:1";

/// Deletes the image at the end of the test.
struct Image;

impl Image {
    fn build(scratch: &Scratch) -> Self {
        let context = scratch.path().join("image");
        fs::create_dir(&context).unwrap();
        snapshot::unpack(&context.join("plexd"));
        let dockerfile = "FROM scratch\nCOPY plexd /plexd\nENTRYPOINT [\"/plexd\"]\n";
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        Command::new("docker")
            .args(["build", "--quiet", "--tag", IMAGE])
            .arg(&context)
            .assert()
            .success();
        Self
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rmi", IMAGE]).output());
    }
}

#[test]
#[ignore = "needs kind (creates 2 clusters), zstd, and a plexd in the folder PLEXD_SNAPSHOT"]
fn a_real_plexd_fails_only_for_missing_calls() {
    let scratch = Scratch::new();
    let _image = Image::build(&scratch);
    snapshot::write_matrix(&scratch, &format!("image = \"{IMAGE}\""));
    let output = scratch
        .command(&["--provider", "kind"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    snapshot::assert_fails_only_for_missing_calls(&scratch);
}

#[test]
#[ignore = "needs kind (creates 4 clusters), zstd, and a plexd in the folder PLEXD_SNAPSHOT"]
fn a_real_plexd_and_the_reference_agent_run_side_by_side() {
    let scratch = Scratch::new();
    let _image = Image::build(&scratch);
    let manifests = snapshot::folder().join("manifests");
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.34\", \"1.36\"]\nagent = [\"reference\", \"snapshot\"]\n\
         [run]\njobs = 2\n\
         [deploy]\nprobes = false\n\
         [agent.reference]\n[agent.snapshot]\nimage = \"{IMAGE}\"\nmanifests = {manifests:?}\n\
         [agent.snapshot.agent]\n\
         api = {{ baseurl = \"${{e2e.mock-url}}\" }}\n\
         registration = {{ datadir = \"/var/lib/plexd\" }}\n\
         node_api = {{ datadir = \"/var/lib/plexd\", socketpath = \"/var/run/plexd/api.sock\" }}\n\
         heartbeat = {{ nodeid = \"e2e-k8s-node\", interval = \"1s\" }}\n\
         [phases.assertions]\ntimeout = \"30s\"\n[phases.local-endpoint]\nrun = false\n"
    );
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = scratch
        .command(&["--provider", "kind", "--reuse"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&scratch);
    for version in ["1.34", "1.36"] {
        let cell = |agent| record::cell(&run, &format!("k8s-{version}-n1-default-agent-{agent}"));
        let (reference, plexd) = (cell("reference"), cell("snapshot"));
        assert_eq!(reference.verdict, CellVerdict::Passed, "{reference:?}");
        assert_eq!(
            record::deviations(plexd, Some(Phase::Assertions)),
            [] as [String; 0]
        );
        let agent = |cell: &CellModel| cell.facts.as_ref().unwrap().agent.clone();
        assert!(agent(plexd).starts_with(IMAGE), "{}", agent(plexd));
        assert!(!agent(reference).starts_with(IMAGE), "{}", agent(reference));
        // A cluster with another agent is not reused.
        assert_ne!(reference.cluster, plexd.cluster);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = "2 of 2 cells with agent-snapshot failed, 0 of 2 others\n";
    assert!(stdout.contains(line), "{stdout}");
    assert!(!stdout.contains("instead of"), "{stdout}");
}
