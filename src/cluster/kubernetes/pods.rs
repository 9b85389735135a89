//! The owners of pods. The selectors of the cell's workloads determine the owner, because users choose the labels in
//! their manifests.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use crate::manifest::{Rendered, selects};

/// The owner of a pod in the cell's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The agent's DaemonSet.
    Agent,
    /// The mock's Deployment.
    Mock,
    /// Anything else.
    Other,
}

/// The workloads of the manifests.
pub(crate) struct Workloads {
    /// The agent's DaemonSet.
    pub(crate) agent: Workload,
    /// The mock's Deployment.
    pub(crate) mock: Workload,
    /// The names of the Jobs. A `CronJob` or the agent may create further Jobs.
    pub(crate) jobs: BTreeSet<String>,
}

/// A workload's name and selector, from its manifest.
pub(crate) struct Workload {
    pub(crate) name: String,
    selector: LabelSelector,
}

impl Workloads {
    pub(crate) fn of(rendered: &Rendered) -> Self {
        let daemon_set = &rendered.agent().daemon_set;
        let deployment = &rendered.mock().deployment;
        let jobs = rendered.objects().filter(|object| object.kind == "Job");
        Self {
            agent: Workload {
                name: daemon_set.name_any(),
                selector: daemon_set.spec.selector.clone(),
            },
            mock: Workload {
                name: deployment.name_any(),
                selector: deployment.spec.selector.clone(),
            },
            jobs: jobs.map(|job| job.name.clone()).collect(),
        }
    }

    /// The owner of a pod in the cell's namespace. Manifests with overlapping selectors are rejected before they are
    /// applied.
    pub(crate) fn owner(&self, pod: &Pod) -> Owner {
        if selects(&self.agent.selector, pod.labels()) {
            Owner::Agent
        } else if selects(&self.mock.selector, pod.labels()) {
            Owner::Mock
        } else {
            Owner::Other
        }
    }
}

#[cfg(test)]
impl Default for Workloads {
    /// The selectors of the manifests that come with the runner.
    fn default() -> Self {
        let workload = |name: &str| Workload {
            name: name.to_owned(),
            selector: LabelSelector {
                match_labels: Some([("app.kubernetes.io/name".to_owned(), name.to_owned())].into()),
                match_expressions: None,
            },
        };
        Self {
            agent: workload("plexd"),
            mock: workload("mock-api"),
            jobs: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_may_consist_of_any_labels_and_expressions() {
        let selector = |value| serde_json::from_value(value).unwrap();
        let workloads = Workloads {
            agent: Workload {
                name: "mesh".to_owned(),
                selector: selector(json!({"matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["mesh", "agent"]},
                    {"key": "tier", "operator": "DoesNotExist"},
                ]})),
            },
            mock: Workload {
                name: "central".to_owned(),
                selector: selector(json!({"matchLabels": {"tier": "central"}})),
            },
            jobs: BTreeSet::new(),
        };
        let owner = |labels| {
            let pod = json!({"metadata": {"name": "p", "labels": labels}});
            workloads.owner(&serde_json::from_value(pod).unwrap())
        };
        assert_eq!(owner(json!({"app": "agent"})), Owner::Agent);
        assert_eq!(
            owner(json!({"app": "agent", "tier": "central"})),
            Owner::Mock
        );
        assert_eq!(
            owner(json!({"app.kubernetes.io/name": "plexd"})),
            Owner::Other
        );
    }
}
