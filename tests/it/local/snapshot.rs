//! A real plexd on the local provider.

use std::time::Duration;

use crate::support::{Scratch, snapshot};

/// Far longer than the cells need.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "needs zstd, and a plexd in the folder PLEXD_SNAPSHOT"]
fn a_real_plexd_fails_only_for_missing_calls() {
    let scratch = Scratch::new();
    snapshot::unpack(&scratch.path().join("plexd"));
    snapshot::write_matrix(&scratch, "image = \"plexd:1\"\nbinary = \"plexd\"");
    let output = scratch
        .command(&["--provider", "local"])
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    snapshot::assert_fails_only_for_missing_calls(&scratch);
}
