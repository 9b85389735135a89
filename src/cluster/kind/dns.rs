//! Tunes CoreDNS in clusters whose kubeadm doesn't accept a patch for it: patches its Deployment through the API as
//! soon as the Deployment exists.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

use super::tuning::patches_dns_late;
use super::work::Work;
use crate::error::chain;

const NAME: &str = "coredns";

/// Reduces CoreDNS to one replica with a readiness probe every second. If this fails, the cluster still comes up, but
/// later.
pub(super) async fn tune(work: Arc<Work>) {
    if !work.shared.options.fast_setup || !patches_dns_late(work.plan.cell.kubernetes) {
        return;
    }
    let Ok(access) = work.access.reached().await else {
        return;
    };
    let api: Api<Deployment> = Api::namespaced(access.client, "kube-system");
    let patch = json!({"spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": NAME, "readinessProbe": {"periodSeconds": 1}}]}},
    }});
    let tuning = async {
        let created = await_condition(api.clone(), NAME, conditions::is_created());
        Box::pin(created).await.map_err(|error| chain(&error))?;
        let patch = Patch::Strategic(patch);
        let patched = api.patch(NAME, &PatchParams::default(), &patch).await;
        patched.map_err(|error| chain(&error))
    };
    if let Err(error) = work.steps.measure("coredns tuned", tuning).await {
        tracing::debug!(error, "failed to tune CoreDNS");
    }
}
