//! Deletes objects and waits until the API server no longer has them.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};

use super::apply::gvk;
use super::transient::{retry_transient, until_holds};
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// The API for cluster-scoped objects of a kind.
pub(crate) fn dynamic(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&gvk(api_version, kind));
    Api::all_with(client.clone(), &resource)
}

/// Deletes all controllers of pods and then the pods, and waits until the last pod is gone.
pub(crate) async fn workloads(client: &Client, namespace: &str) -> Result<(), Failure> {
    controllers(client, namespace, &DeleteParams::foreground()).await?;
    all_of::<Pod>(client, namespace, &DeleteParams::foreground()).await
}

/// Deletes all controllers of pods and then the pods, without waiting until their containers have ended.
pub(crate) async fn workloads_at_once(client: &Client, namespace: &str) -> Result<(), Failure> {
    controllers(client, namespace, &DeleteParams::background()).await?;
    let at_once = DeleteParams::background().grace_period(0);
    all_of::<Pod>(client, namespace, &at_once).await
}

/// Deletes all Services, which releases their node ports and fixed addresses.
pub(crate) async fn services(client: &Client, namespace: &str) -> Result<(), Failure> {
    all_of::<Service>(client, namespace, &DeleteParams::background()).await
}

async fn controllers(client: &Client, namespace: &str, how: &DeleteParams) -> Result<(), Failure> {
    all_of::<CronJob>(client, namespace, how).await?;
    tokio::try_join!(
        Box::pin(all_of::<DaemonSet>(client, namespace, how)),
        Box::pin(all_of::<Deployment>(client, namespace, how)),
        Box::pin(all_of::<StatefulSet>(client, namespace, how)),
        Box::pin(all_of::<Job>(client, namespace, how)),
    )?;
    // Don't wait until the garbage collector deletes the ReplicaSets.
    all_of::<ReplicaSet>(client, namespace, how).await
}

async fn all_of<K>(client: &Client, namespace: &str, how: &DeleteParams) -> Result<(), Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let all = ListParams::default();
    for object in Box::pin(retry_transient(|| api.list(&all))).await? {
        delete(&api, &object.name_any(), how).await?;
    }
    Ok(())
}

/// Deletes an object, and waits until it is gone. With foreground deletion, its dependents are then gone as well. An
/// object that doesn't exist counts as gone.
pub(crate) async fn delete(
    api: &Api<DynamicObject>,
    name: &str,
    how: &DeleteParams,
) -> Result<(), Failure> {
    let requested = request(api, name, how).await?;
    gone(api, name, requested).await
}

/// The UID of an object whose deletion was requested; `None` if the object is already gone.
pub(crate) struct Requested(Option<String>);

/// Requests the deletion of an object. An object that doesn't exist counts as gone.
pub(crate) async fn request(
    api: &Api<DynamicObject>,
    name: &str,
    how: &DeleteParams,
) -> Result<Requested, Failure> {
    match Box::pin(retry_transient(|| api.delete(name, how))).await {
        // If the response is only a status, the object is already gone.
        Ok(either) => Ok(Requested(either.left().and_then(|object| object.uid()))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Requested(None)),
        Err(error) => Err(failed(name, &error)),
    }
}

/// Waits until an object whose deletion was requested is gone.
pub(crate) async fn gone(
    api: &Api<DynamicObject>,
    name: &str,
    Requested(uid): Requested,
) -> Result<(), Failure> {
    if let Some(uid) = uid {
        let is_gone = |object: Option<&DynamicObject>| {
            object.is_none_or(|object| object.uid().as_ref() != Some(&uid))
        };
        let waited = until_holds(api, name, is_gone).await;
        waited.map_err(|error| failed(name, &error))?;
    }
    Ok(())
}

fn failed(name: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    let message = format!("failed to delete {name}: {}", chain(error));
    Failure::new(Symptom::CleanupIncomplete, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deletion_is_retried_after_a_temporary_error() {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let code: u16 = if is_first { 500 } else { 404 };
            let status =
                json!({"kind": "Status", "code": code, "message": "etcdserver: timed out"});
            let body = kube::client::Body::from(status.to_string().into_bytes());
            std::future::ready(http::Response::builder().status(code).body(body))
        });
        let api = dynamic(&Client::new(service, "default"), "v1", "Namespace");
        let deleted = delete(&api, "cell", &DeleteParams::default()).await;
        deleted.expect("the error is temporary");
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }
}
