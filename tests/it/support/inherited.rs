//! What a run in a clean environment needs of this process's own, such as what finds the engine.

use std::ffi::OsString;

/// What finds the engine, and the user's home.
pub(crate) const ENGINE: [&str; 4] = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT"];

/// The variables of these names that are set.
pub(crate) fn inherited(names: &[&'static str]) -> impl Iterator<Item = (&'static str, OsString)> {
    names
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)))
}
