//! The cleanup of a cell in a shared cluster: deletes what the cell created, and checks that nothing is left.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Client, ResourceExt};

use super::cluster::ExistingCluster;
use super::labels::RUN;
use super::{clear, definitions};
use crate::cluster::Cleared;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};

impl ExistingCluster {
    /// Deletes the namespace and all labeled objects, and checks that nothing is left.
    pub(super) async fn clear(
        &self,
        client: &Client,
        deadline: &Deadline,
    ) -> Result<Cleared, Failure> {
        let plan = &self.tenant.plan;
        let clearing = clear::namespace(client, &plan.namespace, self.run(), deadline);
        let mut cleared = Box::pin(clearing).await?;
        for object in plan.rendered.objects() {
            if object.kind == "Namespace" || object.is_namespaced() {
                continue;
            }
            let run = self.run();
            let (version, kind) = (&object.api_version, &object.kind);
            // A definition that isn't ours must not be changed.
            if kind == definitions::KIND && !self.is_own_definition(client, &object.name).await? {
                continue;
            }
            let removed = clear::object(client, version, kind, &object.name, run).await?;
            cleared.evidence.push(removed);
        }
        cleared.evidence.push(self.nothing_left(client).await?);
        for resource in plan.rendered.objects().filter_map(|it| self.resource(it)) {
            plan.ledger.gone(&resource)?;
        }
        Ok(cleared)
    }

    async fn is_own_definition(&self, client: &Client, name: &str) -> Result<bool, Failure> {
        let own = format!("{RUN}={}", self.run());
        let found = clear::ours::<CustomResourceDefinition>(client, &own).await?;
        Ok(found.iter().any(|definition| definition.name_any() == name))
    }

    /// Lists the objects with the run's label. The run's other cells have ended or haven't started.
    async fn nothing_left(&self, client: &Client) -> Result<Evidence, Failure> {
        let own = format!("{RUN}={}", self.run());
        let mut left = Vec::new();
        left.extend(clear::titles::<Namespace>(client, &own).await?);
        left.extend(clear::titles::<ClusterRole>(client, &own).await?);
        left.extend(clear::titles::<ClusterRoleBinding>(client, &own).await?);
        left.extend(clear::titles::<CustomResourceDefinition>(client, &own).await?);
        let row = Evidence::none_left("objects with the run's label", &left);
        if row.holds {
            return Ok(row);
        }
        let message = "some of the cell's resources still exist";
        Err(Failure::new(Symptom::CleanupIncomplete, message).with_evidence([row]))
    }
}
