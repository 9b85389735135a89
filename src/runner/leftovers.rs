//! What a new run says of dead ones: that something is left of them, and which command removes it. Reads ledgers, and nothing else.

use std::collections::BTreeMap;

use crate::machine::{Left, Resource, StateFolder, read_dead};

/// The notice; none where nothing is left. `gc` is the command.
pub(super) fn notice(state: &StateFolder, gc: &str) -> Option<String> {
    let dead = read_dead(state).unwrap_or_else(|error| {
        tracing::warn!(%error, "failed to look for dead runs");
        Vec::new()
    });
    let runs = dead
        .iter()
        .filter(|(_, contents)| contents.left.iter().any(Left::is_unwanted))
        .count();
    let left = dead.iter().flat_map(|(_, contents)| &contents.left);
    let mut counts: BTreeMap<Words, usize> = BTreeMap::new();
    for left in left.filter(|left| left.is_unwanted()) {
        *counts.entry(words(&left.resource)).or_default() += 1;
    }
    if counts.is_empty() {
        return None;
    }
    let counts = counts.iter().map(|(words, count)| counted(*count, *words));
    let what = counts.collect::<Vec<_>>().join(", ");
    Some(format!(
        "{} left something behind ({what}); to remove it: {gc}",
        counted(runs, ("dead run", "dead runs"))
    ))
}

/// What one is called, and what several are.
type Words = (&'static str, &'static str);

fn counted(count: usize, (one, several): Words) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn words(resource: &Resource) -> Words {
    match resource {
        Resource::KindCluster { .. } => ("cluster", "clusters"),
        Resource::Container { .. } => ("container", "containers"),
        Resource::Volume { .. } => ("volume", "volumes"),
        Resource::Processes { .. } => ("group of processes", "groups of processes"),
        Resource::Folder { .. } => ("folder", "folders"),
        Resource::Port { .. } => ("port", "ports"),
        Resource::Network { .. } => ("network", "networks"),
        Resource::Namespace { .. } => ("namespace", "namespaces"),
        Resource::ClusterObject { .. } => ("cluster's object", "cluster's objects"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Ledger, Owner};

    #[test]
    fn dead_runs_are_told_of_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        for path in ["one", "two"] {
            let path = path.into();
            ledger.plan(Resource::Folder { path }).unwrap();
        }
        let name = "kind".to_owned();
        ledger.plan(Resource::Network { name }).unwrap();
        assert_eq!(notice(&state, "e2e-matrix gc"), None, "it lives");
        drop(ledger);
        assert_eq!(
            notice(&state, "e2e-matrix gc").unwrap(),
            "1 dead run left something behind (2 folders, 1 network); to remove it: e2e-matrix gc"
        );
    }

    #[test]
    fn what_is_kept_on_purpose_is_not_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        let resource = Resource::Folder { path: "one".into() };
        ledger.plan(resource.clone()).unwrap();
        ledger.keep(resource, Vec::new()).unwrap();
        drop(ledger);
        assert_eq!(notice(&state, "e2e-matrix gc"), None);
    }
}
