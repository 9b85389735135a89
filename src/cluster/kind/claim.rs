//! The provider's ledger entries. They determine which containers, volumes and networks belong to a run: resources
//! whose ids are in the ledger, and resources that have the run's seal and aren't older than the entry.
//!
//! A name proves nothing: it can be reused, and other programs can also use it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bollard::models::{ContainerSummary, Network};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::destroy::volumes;
use super::network::LABEL;
use super::node_state::NodeStates;
use super::wipe::Leftovers;
use crate::cluster::NodeName;
use crate::machine::{LedgerContents, LedgerError, Left, LiveClaims, Payload};
use crate::matrix::{CellId, ProviderChoice};

/// The folder for the seal in each node of a cluster. The seal is mounted at `/e2e-matrix/<seal>`.
pub(super) const SEALS: &str = "/e2e-matrix";

/// A ledger entry of this provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum KindResource {
    /// A cluster.
    Cluster(Claim),
    /// The network of all kind clusters.
    Network(NetworkClaim),
}

impl Payload for KindResource {
    const PROVIDER: &'static str = ProviderChoice::Kind.name();

    fn name(&self) -> String {
        match self {
            Self::Cluster(claim) => format!("cluster {}", claim.name),
            Self::Network(_) => format!("network {}", super::network::NETWORK),
        }
    }
}

/// A run's claim to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// The cluster's name.
    pub(super) name: String,
    /// The mark of the processes that create it: see [`crate::machine::marked::MARK`].
    pub(super) mark: String,
    /// The seal, which only the containers of this cluster have.
    pub(super) seal: String,
    /// When the cluster was planned. An older container doesn't belong to it.
    pub(super) planned: Timestamp,
    /// The ids of its containers that are known so far.
    #[serde(default)]
    pub(super) containers: BTreeSet<String>,
    /// The names of its containers' volumes, which the engine chooses.
    #[serde(default)]
    pub(super) volumes: BTreeSet<String>,
    /// Everything that a later run needs to reuse it, if it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Box<Kept>>,
}

/// A kept cluster that a later run can reuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The cell that used it last.
    pub(super) cell: CellId,
    /// A digest of what it was created from: see [`super::fingerprint::Fingerprint::template`].
    pub(super) fingerprint: String,
    /// The names of its nodes in Kubernetes, control plane first.
    pub(super) nodes: Vec<NodeName>,
    /// The state of the nodes before that cell.
    pub(super) before: NodeStates,
    /// What that cell left behind.
    #[serde(rename = "tracks")]
    pub(super) leftovers: Leftovers,
    /// The private folders of the cells that created and used it. Contents of the first folder are mounted in the
    /// nodes, so that folder has to exist as long as the nodes.
    pub(super) folders: Vec<PathBuf>,
    /// How long creating the cluster took, in milliseconds.
    pub(super) creation_ms: u64,
}

/// The clusters in a ledger.
pub(super) fn clusters(ledger: &LedgerContents) -> impl Iterator<Item = (&Left, Claim)> {
    let claim = |(left, resource)| match resource {
        KindResource::Cluster(claim) => Some((left, claim)),
        KindResource::Network(_) => None,
    };
    ledger.payloads().filter_map(claim)
}

impl Claim {
    /// Whether `container` belongs to the cluster. The engine reports times in whole seconds.
    pub(super) fn owns(&self, container: &ContainerSummary) -> bool {
        let id = container.id.as_ref();
        let is_known = id.is_some_and(|id| self.containers.contains(id));
        let seal = format!("{SEALS}/{}", self.seal);
        let mut mounts = container.mounts.iter().flatten();
        let is_sealed = mounts.any(|mount| mount.destination.as_ref() == Some(&seal));
        let created = container.created.unwrap_or(i64::MIN);
        is_known || (is_sealed && created >= self.planned.as_second())
    }

    /// Whether the run may delete `container`: a live run's claim takes precedence.
    pub(super) fn may_delete(&self, container: &ContainerSummary, live: &Live) -> bool {
        self.owns(container) && !live.owns(container)
    }

    /// Adds the containers in `found` that belong to the cluster, and their volumes. Returns whether any of them is
    /// new.
    pub(super) fn add(&mut self, found: &[ContainerSummary]) -> bool {
        let before = (self.containers.len(), self.volumes.len());
        let own: Vec<_> = found.iter().filter(|it| self.owns(it)).cloned().collect();
        self.containers
            .extend(own.iter().filter_map(|it| it.id.clone()));
        self.volumes.extend(volumes(&own));
        before != (self.containers.len(), self.volumes.len())
    }
}

/// A run's claim to the network of all kind clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkClaim {
    /// The network's id; `None` until it is known.
    pub(super) id: Option<String>,
    /// The seal: the value of a label that only this run's network has.
    pub(super) seal: String,
    /// When the network was planned. An older network doesn't belong to the run.
    pub(super) planned: Timestamp,
}

impl NetworkClaim {
    /// Whether `network` belongs to the run.
    pub(super) fn owns(&self, network: &Network) -> bool {
        if self.id.is_some() {
            return self.id == network.id;
        }
        let labels = network.labels.as_ref();
        let is_sealed = labels.and_then(|labels| labels.get(LABEL)) == Some(&self.seal);
        let created = network.created.as_ref();
        let created = created.and_then(|created| created.parse::<Timestamp>().ok());
        is_sealed && created.is_some_and(|created| created.as_second() >= self.planned.as_second())
    }
}

/// The claims of live runs to this provider's resources. They take precedence over those of dead runs.
#[derive(Debug, Default)]
pub(super) struct Live(Vec<KindResource>);

impl Live {
    pub(super) fn read(live: &LiveClaims) -> Result<Self, LedgerError> {
        live.read().map(Self)
    }

    /// Whether a live run claims `container`.
    pub(super) fn owns(&self, container: &ContainerSummary) -> bool {
        let claims =
            |it: &KindResource| matches!(it, KindResource::Cluster(claim) if claim.owns(container));
        self.0.iter().any(claims)
    }

    /// Whether a live run claims the volume `name`.
    pub(super) fn owns_volume(&self, name: &str) -> bool {
        let claims = |it: &KindResource| matches!(it, KindResource::Cluster(claim) if claim.volumes.contains(name));
        self.0.iter().any(claims)
    }

    /// Whether a live run claims `network`.
    pub(super) fn owns_network(&self, network: &Network) -> bool {
        let claims =
            |it: &KindResource| matches!(it, KindResource::Network(claim) if claim.owns(network));
        self.0.iter().any(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::MountPoint;

    use super::*;
    use crate::machine::Resource;

    fn claim(planned: i64, known: &[&str]) -> Claim {
        Claim {
            name: "mine".to_owned(),
            mark: "abcde/cell".to_owned(),
            seal: "secret".to_owned(),
            planned: Timestamp::from_second(planned).unwrap(),
            containers: known.iter().map(|id| (*id).to_owned()).collect(),
            volumes: BTreeSet::new(),
            kept: None,
        }
    }

    fn container(id: &str, created: i64, destination: Option<&str>) -> ContainerSummary {
        let mount = |destination: &str| MountPoint {
            destination: Some(destination.to_owned()),
            ..MountPoint::default()
        };
        ContainerSummary {
            id: Some(id.to_owned()),
            created: Some(created),
            mounts: destination.map(|destination| vec![mount(destination)]),
            ..ContainerSummary::default()
        }
    }

    fn network(id: &str, created: &str, seal: Option<&str>) -> Network {
        let label = |seal: &str| HashMap::from([(LABEL.to_owned(), seal.to_owned())]);
        Network {
            id: Some(id.to_owned()),
            created: Some(created.to_owned()),
            labels: seal.map(label),
            ..Network::default()
        }
    }

    #[test]
    fn a_container_is_owned_by_its_id_or_by_the_seal_and_its_age() {
        let seal = Some("/e2e-matrix/secret");
        let claim = claim(100, &["known"]);
        assert!(claim.owns(&container("known", 1, None)));
        assert!(claim.owns(&container("new", 100, seal)));
        assert!(!claim.owns(&container("new", 99, seal)), "older");
        assert!(!claim.owns(&container("new", 100, None)), "no seal");
        let other = Some("/e2e-matrix/other");
        assert!(!claim.owns(&container("new", 100, other)), "another's seal");
    }

    #[test]
    fn a_live_claim_takes_precedence() {
        let dead = claim(1, &["shared", "left"]);
        let alive = Claim {
            seal: "other".to_owned(),
            volumes: ["data".to_owned()].into(),
            ..claim(1, &["shared"])
        };
        let id = Some("net".to_owned());
        let usage = NetworkClaim {
            id,
            seal: String::new(),
            planned: Timestamp::UNIX_EPOCH,
        };
        let live = Live(vec![
            KindResource::Network(usage),
            KindResource::Cluster(alive),
        ]);
        assert!(dead.may_delete(&container("left", 1, None), &live));
        assert!(!dead.may_delete(&container("shared", 1, None), &live));
        assert!(!dead.may_delete(&container("foreign", 1, None), &live));
        assert!(live.owns_volume("data") && !live.owns_volume("logs"));
        assert!(live.owns_network(&network("net", "", None)));
        assert!(!live.owns_network(&network("other", "", None)));
    }

    #[test]
    fn a_network_is_owned_by_its_id_and_before_that_by_the_seal_and_its_age() {
        let claim = |id: Option<&str>| NetworkClaim {
            id: id.map(str::to_owned),
            seal: "secret".to_owned(),
            planned: Timestamp::from_second(100).unwrap(),
        };
        let (new, old) = ("1970-01-01T00:01:40.5Z", "1970-01-01T00:01:39Z");
        let seal = Some("secret");
        assert!(claim(Some("known")).owns(&network("known", old, None)));
        assert!(
            !claim(Some("known")).owns(&network("other", new, seal)),
            "another id"
        );
        assert!(claim(None).owns(&network("any", new, seal)));
        assert!(!claim(None).owns(&network("any", old, seal)), "older");
        assert!(!claim(None).owns(&network("any", new, None)), "no seal");
        assert!(
            !claim(None).owns(&network("any", new, Some("other"))),
            "another's seal"
        );
    }

    #[test]
    fn a_claim_with_unknown_fields_is_rejected() {
        let mut resource = Resource::new(&KindResource::Cluster(claim(100, &["known"]))).unwrap();
        let read = |resource: &Resource| resource.read::<KindResource>().unwrap();
        assert_eq!(
            read(&resource).unwrap(),
            KindResource::Cluster(claim(100, &["known"]))
        );
        resource.payload["spared"] = true.into();
        read(&resource).unwrap_err();
    }
}
