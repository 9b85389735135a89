//! The notice that a new run shows if dead runs have left resources behind, with the command that deletes these
//! resources. Only ledgers are read.

use crate::error::chain;
use crate::machine::{Left, StateFolder, read_dead};

/// How many resources are listed.
const LISTED: usize = 3;

/// The notice; `None` if nothing is left. `gc` is the command.
pub(super) fn notice(state: &StateFolder, gc: &str) -> Option<String> {
    let mut dead = read_dead(state).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "failed to look for dead runs");
        Vec::new()
    });
    for run in &mut dead {
        run.contents.left.retain(Left::is_unwanted);
    }
    dead.retain(|run| !run.contents.left.is_empty());
    let runs = match dead.len() {
        0 => return None,
        1 => "1 dead run".to_owned(),
        several => format!("{several} dead runs"),
    };
    let lefts = dead.iter().flat_map(|run| &run.contents.left);
    let mut names: Vec<String> = lefts.map(|left| left.resource.to_string()).collect();
    if names.len() > LISTED {
        let more = names.split_off(LISTED).len();
        names.push(format!("and {more} more"));
    }
    let what = names.join(", ");
    Some(format!(
        "{runs} left resources behind ({what}); to delete them: {gc}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{HostResource, Ledger, Owner};

    fn folder_at(path: &str) -> HostResource {
        HostResource::Folder { path: path.into() }
    }

    /// The ledger of a live run that has planned folders at `paths`.
    fn ledger(state: &StateFolder, run: &str, paths: &[&str]) -> Ledger {
        let ledger = Ledger::open(state, Owner::new(run, "out")).unwrap();
        for path in paths {
            ledger.plan(&folder_at(path)).unwrap();
        }
        ledger
    }

    #[test]
    fn dead_runs_are_reported_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
        let ledger = ledger(&state, "abcde", &["one", "two"]);
        assert_eq!(notice(&state, "e2e-matrix gc"), None, "the run is alive");
        drop(ledger);
        assert_eq!(
            notice(&state, "e2e-matrix gc").unwrap(),
            "1 dead run left resources behind (folder one, folder two); to delete them: e2e-matrix gc"
        );
        drop(self::ledger(&state, "fghij", &["three", "four"]));
        assert_eq!(
            notice(&state, "e2e-matrix gc").unwrap(),
            "2 dead runs left resources behind (folder one, folder two, folder three, and 1 more); to delete them: e2e-matrix gc"
        );
    }

    #[test]
    fn kept_resources_are_not_reported() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = ledger(&state, "abcde", &["one"]);
        ledger.keep(&folder_at("one"), Vec::new()).unwrap();
        drop(ledger);
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
    }
}
