//! A node's identity: its id, mesh address and credentials. Pure except for the random source.

use std::net::Ipv4Addr;

use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};

/// The length of a node's secret key and of a local bearer token, in ASCII characters. The bytes of the key are an
/// AES-256 key.
pub(crate) const KEY_LENGTH: usize = 32;

/// The prefix of the ids of nodes without a hostname. If a hostname begins with it, a hash is appended to the node's
/// id.
const ANONYMOUS: &str = "anonymous-";

/// How many nodes can have a mesh address: 10.99.0.1 to 10.99.254.255. The fixture's peers have higher addresses.
const MESH_ADDRESSES: u32 = 0xff00 - 1;

/// The node id for `hostname`, always the same: `node-<hostname>` in lowercase. If a character had to be replaced with
/// `-`, a short hash of the hostname follows, so that two nodes never share an id.
pub(crate) fn node_id(hostname: &str) -> String {
    let lower = hostname.to_lowercase();
    let safe: String = lower
        .chars()
        .map(|c| if is_safe(c) { c } else { '-' })
        .collect();
    if safe == lower && !lower.starts_with(ANONYMOUS) {
        return format!("node-{safe}");
    }
    format!("node-{safe}-{}", short_hash(&lower))
}

/// The id of the `n`th node without a hostname.
pub(crate) fn anonymous_id(n: u64) -> String {
    format!("node-{ANONYMOUS}{n}")
}

/// The mesh address of the registered node number `ordinal`, starting at 0; `None` if the network is exhausted.
pub(crate) fn mesh_ip(ordinal: u32) -> Option<Ipv4Addr> {
    (ordinal < MESH_ADDRESSES)
        .then(|| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, 0, 1)) + ordinal))
}

/// A new random credential of [`KEY_LENGTH`] ASCII letters and digits.
pub(crate) fn credential() -> String {
    random_text(KEY_LENGTH)
}

/// Random ASCII letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

/// Whether a character may be part of a host name, and so of a path segment.
fn is_safe(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.')
}

fn short_hash(text: &str) -> String {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(text.as_bytes()));
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_converted_to_lower_case() {
        assert_eq!(node_id("plexd-e2e-worker2"), "node-plexd-e2e-worker2");
        assert_eq!(node_id("Host.Example"), "node-host.example");
    }

    #[test]
    fn similar_names_get_different_ids() {
        let ids = ["a-b", "a_b", "a b", "a/b", "ä-b"].map(node_id);
        assert_eq!(ids[0], "node-a-b");
        assert!(
            ids[1..]
                .iter()
                .all(|id| id.starts_with("node-a-b-") || id.starts_with("node---b-")),
            "{ids:?}"
        );
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(
            node_id("a_b"),
            ids[1],
            "ids are derived from the name, not random"
        );
    }

    #[test]
    fn a_host_cannot_get_an_anonymous_id() {
        assert_ne!(node_id("anonymous-1"), anonymous_id(1));
    }

    #[test]
    fn mesh_addresses_are_distinct_and_below_those_of_the_peers() {
        assert_eq!(mesh_ip(0), Some(Ipv4Addr::new(10, 99, 0, 1)));
        assert_eq!(mesh_ip(255), Some(Ipv4Addr::new(10, 99, 1, 0)));
        assert_eq!(
            mesh_ip(MESH_ADDRESSES - 1),
            Some(Ipv4Addr::new(10, 99, 254, 255))
        );
        assert_eq!(mesh_ip(MESH_ADDRESSES), None);
    }

    #[test]
    fn credentials_are_32_ascii_characters() {
        let key = credential();
        assert!(key.len() == 32 && key.is_ascii());
        assert_ne!(key, credential());
    }
}
