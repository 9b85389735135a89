//! A real plexd on real clusters.

use std::fs;
use std::process::Command;
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;

use crate::support::inherited::{ENGINE, inherited};
use crate::support::{Scratch, snapshot};

/// Far more than the clusters take.
const PATIENCE: Duration = Duration::from_secs(600);
const IMAGE: &str = "e2e-matrix-test/plexd-snapshot:1";

/// Deletes the image at the end of the test.
struct Image;

impl Image {
    fn build(place: &Scratch) -> Self {
        let context = place.path().join("image");
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
fn a_real_plexd_fails_for_exactly_what_it_lacks() {
    let place = Scratch::new();
    let _image = Image::build(&place);
    snapshot::write_matrix(&place, &format!("tag = \"{IMAGE}\""));
    let output = place
        .command(&["--provider", "kind"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    snapshot::assert_fails_for_what_it_lacks(&place);
}
