//! Checks what must exist after a run, and what must not.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use e2e_matrix::machine::marked::Marked;
use e2e_matrix::machine::{HostResource, LedgerContents, StateFolder, folders};
use e2e_matrix::record;
use quick_junit::Report;

use crate::support::Scratch;
use crate::support::listeners::listeners;
use crate::support::record::{below, folder};

/// The content of the user's own kubeconfig.
const KUBECONFIG: &[u8] = b"apiVersion: v1\nkind: Config # mine\ncurrent-context: production\n";

/// Far longer than a killed process takes to disappear.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts the user's own kubeconfig into the home of `scratch`.
pub(crate) fn prepare(scratch: &Scratch) {
    fs::create_dir(scratch.path().join("home/.kube")).unwrap();
    fs::write(kubeconfig(scratch), KUBECONFIG).unwrap();
}

fn kubeconfig(scratch: &Scratch) -> PathBuf {
    scratch.path().join("home/.kube/config")
}

/// What can be read about a run only while it runs.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its token.
    pub(crate) token: String,
    /// The inodes of the sockets that listen on its ports.
    listeners: Vec<u64>,
    /// The mount namespaces of its pods, by inode.
    ///
    /// The files are kept open, because the kernel may give the inode of a namespace that no longer exists to a new
    /// one, such as that of another test.
    pub(crate) namespaces: BTreeMap<u64, File>,
}

impl Known {
    /// Reads the ledgers in `scratch`; there must be exactly one.
    pub(crate) fn of(scratch: &Scratch) -> Self {
        let state = StateFolder::at(scratch.path().join("state"));
        let folders = folders(&state).unwrap();
        let [folder] = &folders[..] else {
            panic!("expected exactly one run: {folders:?}");
        };
        let contents = LedgerContents::read(folder).unwrap();
        let port = |(_, resource)| match resource {
            HostResource::Port { port } => Some(port),
            HostResource::Folder { .. } | HostResource::Processes { .. } => None,
        };
        let ports = contents.payloads().filter_map(port);
        let listening = listeners();
        let listener = |port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let listener = listening.get(&address).copied();
            listener.unwrap_or_else(|| panic!("nothing listens on {address}"))
        };
        let token = contents.owner.as_ref().unwrap().run.clone();
        let processes = Marked::Run(token.clone()).find();
        let files = processes
            .iter()
            .filter_map(|id| File::open(format!("/proc/{id}/ns/mnt")).ok());
        let named = files.map(|file| (file.metadata().unwrap().ino(), file));
        let mut namespaces: BTreeMap<_, _> = named.collect();
        namespaces.remove(&namespace("self").unwrap());
        Self {
            listeners: ports.map(listener).collect(),
            token,
            namespaces,
        }
    }

    /// Asserts that nothing is left of the run except its record and its reports.
    pub(crate) fn assert_gone(&self, scratch: &Scratch) {
        let marked = Marked::Run(self.token.clone()).find();
        assert_eq!(marked, [] as [i32; 0], "processes");
        let mut listening = listeners();
        listening.retain(|_, inode| self.listeners.contains(inode));
        assert_eq!(listening, HashMap::new(), "listening sockets");
        self.assert_unmounted(scratch);
        let state = scratch.path().join("state");
        // Files that make later runs faster: archives of the images, and how long cells took.
        let kept = [state.join("cache"), state.join("history.json")];
        let left: Vec<PathBuf> = below(&state)
            .into_iter()
            .filter(|path| *path != state && !kept.iter().any(|kept| path.starts_with(kept)))
            .collect();
        assert_eq!(left, [] as [PathBuf; 0], "state");
        assert_eq!(
            below(&scratch.path().join("tmp")),
            [] as [PathBuf; 0],
            "TMPDIR"
        );
        let out = below(&scratch.path().join("target"));
        let temporary: Vec<_> = out.iter().filter(|path| is_temporary(path)).collect();
        assert_eq!(temporary, [] as [&PathBuf; 0], "temporary files");
        assert_home_is_untouched(scratch);
    }

    /// The processes in the mount namespaces of the run's pods.
    fn inside(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().map(Result::unwrap);
        let ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let is_inside =
            |id: &String| namespace(id).is_some_and(|it| self.namespaces.contains_key(&it));
        ids.filter(is_inside).collect()
    }

    /// Asserts that no process is in a mount namespace of the run's pods, and that nothing is mounted in `scratch`.
    fn assert_unmounted(&self, scratch: &Scratch) {
        // A killed process keeps its namespaces for a moment after its environment is gone, and no event reports that
        // it has left them.
        let until = Instant::now() + PATIENCE;
        while !self.inside().is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.inside(), [""; 0], "processes of pods");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = scratch.path().to_str().unwrap();
        let mut left = mounts.lines().filter(|mount| mount.contains(folder));
        assert_eq!(left.next(), None, "mounts");
    }
}

/// The inode of a process's mount namespace; `None` if the process has exited.
fn namespace(id: &str) -> Option<u64> {
    let namespace = fs::metadata(Path::new("/proc").join(id).join("ns/mnt"));
    namespace.map(|it| it.ino()).ok()
}

/// Asserts that the user's kubeconfig is unchanged and that the home folder has no other files.
fn assert_home_is_untouched(scratch: &Scratch) {
    let kubeconfig = kubeconfig(scratch);
    assert_eq!(
        below(&scratch.path().join("home")),
        std::slice::from_ref(&kubeconfig)
    );
    assert_eq!(fs::read(kubeconfig).unwrap(), KUBECONFIG);
}

/// Whether the file is temporary: its name begins with a dot, unlike the names of runs, cells and reports.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with('.')
}

/// Asserts that each report of a run that was interrupted exists and can be read.
pub(crate) fn assert_is_reported(scratch: &Scratch) {
    let read = |name: &str| fs::read_to_string(folder(scratch).join(name)).unwrap();
    Report::deserialize_from_str(&read("junit.xml")).unwrap();
    for name in ["summary.md", "report.html"] {
        assert!(read(name).contains("interrupted by"), "{name}");
    }
}

/// Asserts that the record can be read, even if the run was killed while writing it.
pub(crate) fn assert_is_recorded(scratch: &Scratch) {
    let path = folder(scratch).join(record::FILE_NAME);
    let records = record::read(&path).unwrap();
    assert!(!records.is_empty());
}
