//! What a run in a clean environment needs of this process's own, such as what finds the engine.

use std::ffi::OsString;

/// The variables of these names that are set.
pub(crate) fn inherited(names: &[&'static str]) -> impl Iterator<Item = (&'static str, OsString)> {
    names
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)))
}
