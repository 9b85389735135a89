//! What must be there after a run, and what must not.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use e2e_matrix::machine::marked::Marked;
use e2e_matrix::machine::{HostResource, LedgerContents, StateFolder, folders};
use e2e_matrix::record;
use quick_junit::Report;

use crate::support::Scratch;

/// What the user's own kubeconfig has in it.
const KUBECONFIG: &[u8] = b"apiVersion: v1\nkind: Config # mine\ncurrent-context: production\n";

/// Puts the user's own kubeconfig into the home of `place`.
pub(crate) fn prepare(place: &Scratch) {
    fs::create_dir(place.path().join("home/.kube")).unwrap();
    fs::write(kubeconfig(place), KUBECONFIG).unwrap();
}

fn kubeconfig(place: &Scratch) -> PathBuf {
    place.path().join("home/.kube/config")
}

/// A run while it runs: what only it knows.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its token.
    pub(crate) token: String,
    /// The ports that it has.
    ports: Vec<u16>,
}

impl Known {
    /// Reads the ledgers in `place`, of which there is one.
    pub(crate) fn of(place: &Scratch) -> Self {
        let state = StateFolder::at(place.path().join("state"));
        let folders = folders(&state).unwrap();
        let [folder] = &folders[..] else {
            panic!("one run was expected: {folders:?}");
        };
        let contents = LedgerContents::read(folder).unwrap();
        let port = |(_, resource)| match resource {
            HostResource::Port { port } => Some(port),
            HostResource::Folder { .. } | HostResource::Processes { .. } => None,
        };
        let ports = contents.payloads().filter_map(port);
        Self {
            ports: ports.collect(),
            token: contents.owner.unwrap().run,
        }
    }

    /// Nothing of the run is there but its record and its reports.
    pub(crate) fn assert_gone(&self, place: &Scratch) {
        let marked = Marked::Run(self.token.clone()).find();
        assert_eq!(marked, [] as [i32; 0], "processes");
        for port in &self.ports {
            let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
            assert!(bound.is_ok(), "somebody listens on port {port}");
        }
        let state = place.path().join("state");
        // What later runs are faster by: archives of the images, and how long cells took.
        let kept = [state.join("cache"), state.join("history.json")];
        let left: Vec<PathBuf> = below(&state)
            .into_iter()
            .filter(|path| *path != state && !kept.iter().any(|kept| path.starts_with(kept)))
            .collect();
        assert_eq!(left, [] as [PathBuf; 0], "state");
        assert_eq!(
            below(&place.path().join("tmp")),
            [] as [PathBuf; 0],
            "TMPDIR"
        );
        let out = below(&place.path().join("target"));
        let temporary: Vec<_> = out.iter().filter(|path| is_temporary(path)).collect();
        assert_eq!(temporary, [] as [&PathBuf; 0], "temporary files");
        assert_home_is_untouched(place);
    }
}

/// The user's kubeconfig is what it was, and nothing is beside it.
fn assert_home_is_untouched(place: &Scratch) {
    let kubeconfig = kubeconfig(place);
    assert_eq!(
        below(&place.path().join("home")),
        std::slice::from_ref(&kubeconfig)
    );
    assert_eq!(fs::read(kubeconfig).unwrap(), KUBECONFIG);
}

/// Names that begin with a dot are no run's, no cell's and no report's.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with('.')
}

/// Every report of a run that ended by itself is there and can be read.
pub(crate) fn assert_is_reported(place: &Scratch) {
    let read = |name: &str| fs::read_to_string(latest(place).join(name)).unwrap();
    Report::deserialize_from_str(&read("junit.xml")).unwrap();
    for name in ["summary.md", "report.html"] {
        assert!(read(name).contains("interrupted by"), "{name}");
    }
}

/// The record can be read, whoever was killed while writing it.
pub(crate) fn assert_is_recorded(place: &Scratch) {
    let path = latest(place).join(record::FILE_NAME);
    let records = record::read(&path).unwrap();
    assert!(!records.is_empty());
}

/// The folder of the newest run in `place`.
fn latest(place: &Scratch) -> PathBuf {
    place.path().join("target/e2e-matrix/latest")
}

/// Every file below `folder` and every empty folder, in their order.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let is_folder = fs::symlink_metadata(&path).unwrap().is_dir();
        let inside = if is_folder { below(&path) } else { Vec::new() };
        if inside.is_empty() {
            found.push(path);
        } else {
            found.extend(inside);
        }
    }
    found
}
