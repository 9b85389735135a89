//! Variables that a run in a clean environment still needs from this process, for example to find the engine.

use std::ffi::OsString;

/// The variables by which a run finds the engine and the user's home.
pub(crate) const ENGINE: [&str; 4] = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT"];

/// The variables in `names` that are set.
pub(crate) fn inherited(names: &[&'static str]) -> impl Iterator<Item = (&'static str, OsString)> {
    names
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)))
}
