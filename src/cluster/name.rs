//! Names of clusters and nodes. Cluster names follow a grammar, so that other clusters are rarely mistaken for ours.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::matrix::{Cell, KubernetesVersion, Prefix, text_types};

/// The name of a cell's cluster: `<prefix>-<slug>-<run>`, at most 40 characters, so that node names are valid host
/// names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// The text is not a valid cluster name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid cluster name: it may contain only lower-case letters, digits and `-`, must begin and end with a letter or digit, and must not be longer than {max} characters",
    max = ClusterName::MAX
)]
pub struct ClusterNameError(String);

/// The length of the part of a name that identifies the run, in characters.
pub const RUN_LENGTH: usize = 5;

/// The length of the hash in a name, in hexadecimal digits.
const HASH_LENGTH: usize = 6;

impl ClusterName {
    /// The name of `cell`'s cluster in the run `run`.
    pub fn new(prefix: &Prefix, cell: &Cell, run: &str) -> Self {
        Self(format!("{}{run}", stem(prefix, cell)))
    }

    /// The maximum length of a cluster name. A node's name adds a suffix such as `-control-plane` or `-worker5000`, and
    /// must fit into the 63 characters of a host name.
    pub const MAX: usize = 40;

    /// A name that the user chose.
    pub fn exactly(name: &str) -> Result<Self, ClusterNameError> {
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = name.len() <= Self::MAX && name.chars().all(|c| ends(c) || c == '-');
        if valid && name.starts_with(ends) && name.ends_with(ends) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ClusterNameError(name.to_owned()))
        }
    }

    /// Whether `name` has the form of the names from [`ClusterName::new`], for any prefix, cell and run. A match
    /// doesn't prove that the cluster is ours: anyone can use such a name.
    pub fn matches_grammar(name: &str) -> bool {
        let mut parts = name.rsplit('-');
        let is_run = parts.next().is_some_and(is_run);
        let is_hash = parts.next().is_some_and(is_hash);
        let mut number = |start: &str| {
            let part = parts.next().and_then(|part| part.strip_prefix(start));
            part.is_some_and(|digits| digits.parse::<u32>().is_ok())
        };
        let is_shape = number("n") && number("") && number("");
        is_run && is_hash && is_shape && parts.next().is_some()
    }

    /// The run in the cluster name `name`, if it is a name for a cluster of `cell`.
    pub fn run_of<'n>(prefix: &Prefix, cell: &Cell, name: &'n str) -> Option<&'n str> {
        let run = name.strip_prefix(&stem(prefix, cell))?;
        is_run(run).then_some(run)
    }

    /// The part of the name that distinguishes `node` from the cluster's other nodes: `control-plane`, `worker`,
    /// `worker2`.
    pub fn short<'n>(&self, node: &'n NodeName) -> &'n str {
        let rest = node.as_str().strip_prefix(self.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        rest.unwrap_or(node.as_str())
    }

    /// The names that kind gives the nodes of a cluster with `count` nodes, control plane first.
    pub fn nodes(&self, count: usize) -> Vec<NodeName> {
        let control_plane = format!("{self}-control-plane");
        let workers = (1..count).map(|number| match number {
            1 => format!("{self}-worker"),
            _ => format!("{self}-worker{number}"),
        });
        let names = std::iter::once(control_plane).chain(workers);
        names.map(NodeName).collect()
    }
}

fn is_run(part: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    part.len() == RUN_LENGTH && part.bytes().all(is_valid)
}

fn is_hash(part: &str) -> bool {
    part.len() == HASH_LENGTH && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The prefix and the slug of a cluster's name. The slug contains the Kubernetes version, the number of nodes, and a
/// hash of the cell's id, because config variants may have the same version and number of nodes.
fn stem(prefix: &Prefix, cell: &Cell) -> String {
    let KubernetesVersion { major, minor } = cell.kubernetes;
    let hash = Sha256::digest(cell.id.as_str());
    let hash = hex::encode(&hash[..HASH_LENGTH / 2]);
    format!("{prefix}-{major}-{minor}-n{}-{hash}-", cell.nodes)
}

/// The name of a node, which is also the host name that its agent registers under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeName(String);

impl NodeName {
    /// A node's name as reported by the cluster.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

text_types!(ClusterName, NodeName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_names_are_host_names() {
        for name in ["", "A", "-a", "a-", "a_b", &"a".repeat(41)] {
            assert!(ClusterName::exactly(name).is_err(), "{name}");
        }
        assert!(ClusterName::exactly("plexd-e2e").is_ok());
    }

    #[test]
    fn names_are_recognized_for_any_prefix_cell_and_run() {
        assert!(ClusterName::matches_grammar(
            "plexd-e2e-1-36-n3-3f09ac-x7k2p"
        ));
        assert!(ClusterName::matches_grammar("a-1-30-n1-000000-00000"));
        for other in [
            "kind",
            "plexd-e2e",
            "plexd-e2e-mine",
            "plexd-e2e-1-36-n3-3f09ac",
            "plexd-e2e-1-36-n3-3f09ag-x7k2p",
            "plexd-e2e-1-36-m3-3f09ac-x7k2p",
            "1-36-n3-3f09ac-x7k2p",
        ] {
            assert!(!ClusterName::matches_grammar(other), "{other}");
        }
    }

    #[test]
    fn nodes_are_named_as_kind_names_them() {
        let name = ClusterName::exactly("c").unwrap();
        let names: Vec<_> = name.nodes(3).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["c-control-plane", "c-worker", "c-worker2"]);
        assert_eq!(name.short(&name.nodes(3)[2]), "worker2");
        assert_eq!(name.short(&NodeName::new("other")), "other");
    }
}
