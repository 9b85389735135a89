//! The notice that a new run shows if dead runs have left resources behind, with the command that deletes these
//! resources. Only ledgers are read.

use crate::error::chain;
use crate::machine::{Left, StateFolder, read_dead};

/// How many resources are listed.
const LISTED: usize = 3;

/// The notice; `None` if nothing is left. `gc` is the command.
pub(super) fn notice(state: &StateFolder, gc: &str) -> Option<String> {
    let dead = read_dead(state).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "failed to look for dead runs");
        Vec::new()
    });
    let lefts = dead
        .iter()
        .map(|run| run.contents.left.iter().filter(|left| left.is_unwanted()));
    let lefts: Vec<Vec<&Left>> = lefts.map(Iterator::collect).collect();
    let runs = match lefts.iter().filter(|lefts| !lefts.is_empty()).count() {
        0 => return None,
        1 => "1 dead run".to_owned(),
        several => format!("{several} dead runs"),
    };
    let all: Vec<&Left> = lefts.concat();
    let names = all
        .iter()
        .take(LISTED)
        .map(|left| left.resource.to_string());
    let mut names: Vec<String> = names.collect();
    if all.len() > LISTED {
        names.push(format!("and {} more", all.len() - LISTED));
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

    #[test]
    fn dead_runs_are_reported_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        for path in ["one", "two"] {
            ledger.plan(&folder_at(path)).unwrap();
        }
        assert_eq!(notice(&state, "e2e-matrix gc"), None, "the run is alive");
        drop(ledger);
        assert_eq!(
            notice(&state, "e2e-matrix gc").unwrap(),
            "1 dead run left resources behind (folder one, folder two); to delete them: e2e-matrix gc"
        );
        let ledger = Ledger::open(&state, Owner::new("fghij", "out")).unwrap();
        for path in ["three", "four"] {
            ledger.plan(&folder_at(path)).unwrap();
        }
        drop(ledger);
        assert_eq!(
            notice(&state, "e2e-matrix gc").unwrap(),
            "2 dead runs left resources behind (folder one, folder two, folder three, and 1 more); to delete them: e2e-matrix gc"
        );
    }

    #[test]
    fn kept_resources_are_not_reported() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        ledger.plan(&folder_at("one")).unwrap();
        ledger.keep(&folder_at("one"), Vec::new()).unwrap();
        drop(ledger);
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
    }
}
