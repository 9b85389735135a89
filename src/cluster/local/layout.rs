//! The folders of a cell: one for logs, and one per node for its host paths and pods.

use std::io;
use std::path::PathBuf;

use crate::cluster::NodeName;
use crate::machine::private_folder;

/// The folders of one cell.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The cell's folder. Everything below it belongs to the cell.
    pub(super) root: PathBuf,
}

impl Layout {
    /// Creates the folders of `nodes`, private to the user.
    pub(super) fn create(&self, nodes: &[NodeName]) -> io::Result<()> {
        private_folder(&self.root)?;
        private_folder(&self.logs())?;
        for node in nodes {
            private_folder(&self.host(node))?;
        }
        Ok(())
    }

    /// The folder that is used as the node's root folder. It outlives the node's pods.
    pub(super) fn host(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("host")
    }

    /// A pod's own folder, which is deleted with the pod.
    pub(super) fn pod(&self, node: &NodeName, pod: &str) -> PathBuf {
        self.node(node).join("pods").join(pod)
    }

    /// The log of a pod's container. It outlives the pod, so that it can be read after a restart.
    pub(super) fn log(&self, pod: &str) -> PathBuf {
        self.logs().join(format!("{pod}.log"))
    }

    fn node(&self, node: &NodeName) -> PathBuf {
        self.root.join("nodes").join(node.as_str())
    }

    /// The folder of the containers' logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
}
