//! Which containers and volumes are a run's: those whose ids its ledger has, and those that carry its seal.
//!
//! A name proves nothing: it can be given again, and others can give the same.

use std::collections::BTreeSet;

use bollard::models::ContainerSummary;
use jiff::Timestamp;

use super::destroy::volumes;
use crate::machine::{Left, Resource};

/// Where the seal is mounted in every node of a cluster, in a folder named after it.
pub(super) const SEALS: &str = "/e2e-matrix";

/// What a run's ledger says of one cluster.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The cluster's name.
    pub name: String,
    /// The mark of the processes that make it.
    pub mark: String,
    seal: String,
    planned: Timestamp,
    /// Its containers and volumes, as far as the ledger has them.
    known: BTreeSet<Resource>,
}

impl Claim {
    /// The claim to `resource`, which is in a ledger together with `known`; none if it is no cluster.
    pub fn new<'r>(
        resource: &Resource,
        known: impl IntoIterator<Item = &'r Resource>,
    ) -> Option<Self> {
        let Resource::KindCluster {
            name,
            mark,
            seal,
            planned,
        } = resource
        else {
            return None;
        };
        Some(Self {
            name: name.clone(),
            mark: mark.clone(),
            seal: seal.clone(),
            planned: *planned,
            known: known.into_iter().cloned().collect(),
        })
    }

    /// The claim to `resource`, which is one of `left`. What was kept is not claimed, unless the cluster itself was.
    pub fn of(resource: &Resource, left: &[Left], kept: bool) -> Option<Self> {
        let known = left.iter().filter(|left| kept || left.kept.is_none());
        Self::new(resource, known.map(|left| &left.resource))
    }

    /// Whether `container` is the run's. The engine's times are whole seconds.
    pub(super) fn owns(&self, container: &ContainerSummary) -> bool {
        let is_known = container.id.as_ref().is_some_and(|id| {
            let id = id.clone();
            self.known.contains(&Resource::Container { id })
        });
        let seal = format!("{SEALS}/{}", self.seal);
        let mut mounts = container.mounts.iter().flatten();
        let is_sealed = mounts.any(|mount| mount.destination.as_ref() == Some(&seal));
        let created = container.created.unwrap_or(i64::MIN);
        is_known || (is_sealed && created >= self.planned.as_second())
    }

    /// The names of the volumes that are in the ledger.
    pub(super) fn volumes(&self) -> BTreeSet<String> {
        let names = self.known.iter().filter_map(|resource| match resource {
            Resource::Volume { name } => Some(name.clone()),
            Resource::KindCluster { .. }
            | Resource::Container { .. }
            | Resource::Processes { .. }
            | Resource::Folder { .. }
            | Resource::Port { .. }
            | Resource::Network { .. }
            | Resource::Namespace { .. }
            | Resource::ClusterObject { .. } => None,
        });
        names.collect()
    }

    /// The run's containers among `found`, with their volumes, as a ledger has them.
    pub(super) fn parts(&self, found: &[ContainerSummary]) -> Vec<Resource> {
        let own: Vec<_> = found.iter().filter(|it| self.owns(it)).cloned().collect();
        let ids = own.iter().filter_map(|container| container.id.clone());
        let volumes = volumes(&own).into_iter();
        ids.map(|id| Resource::Container { id })
            .chain(volumes.map(|name| Resource::Volume { name }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::MountPoint;

    use super::*;

    fn claim(planned: i64, known: &[Resource]) -> Claim {
        let resource = Resource::KindCluster {
            name: "mine".to_owned(),
            mark: "abcde/cell".to_owned(),
            seal: "secret".to_owned(),
            planned: Timestamp::from_second(planned).unwrap(),
        };
        Claim::new(&resource, known).unwrap()
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

    #[test]
    fn a_container_is_owned_by_its_id_or_by_the_seal_and_its_age() {
        let seal = Some("/e2e-matrix/secret");
        let claim = claim(100, &[Resource::Container { id: "known".into() }]);
        assert!(claim.owns(&container("known", 1, None)));
        assert!(claim.owns(&container("new", 100, seal)));
        assert!(!claim.owns(&container("new", 99, seal)), "older");
        assert!(!claim.owns(&container("new", 100, None)), "no seal");
        let other = Some("/e2e-matrix/other");
        assert!(!claim.owns(&container("new", 100, other)), "another's seal");
    }
}
