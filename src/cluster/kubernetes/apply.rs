//! Applies objects with server-side apply, in the order in which they were rendered. The API server rejects unknown
//! fields.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use backon::Retryable;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Definition;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{self, Condition, await_condition, conditions};
use kube::{Api, Client, Resource, discovery};
use serde::de::DeserializeOwned;

use super::rejection::is_object_rejected;
use crate::cluster::milestone::Milestone;
use crate::cluster::retry::every;
use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};
use crate::manifest::Object;

/// The field manager of all applied objects.
const MANAGER: &str = "e2e-matrix";

/// Kinds that create pods. They are applied only after the images are loaded, so that no pod starts without its image.
const WORKLOADS: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "StatefulSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
];

/// How long to retry requests that an API server rejects during its startup. Phases have shorter deadlines.
const STARTUP: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(100);

/// How many errors a watch may have, and how long to pause after each error. All pauses together take about as long as
/// [`STARTUP`].
const WATCH_ERRORS: u32 = 60;
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Applies `objects` in order. Applies objects that create pods only after `images` are loaded.
pub(crate) async fn all(
    client: &Client,
    objects: impl Iterator<Item = &Object>,
    images: &Milestone<Vec<Evidence>>,
) -> Result<Vec<Evidence>, Failure> {
    let mut applier = Applier {
        client,
        kinds: HashMap::new(),
        definitions: Vec::new(),
    };
    let mut evidence = Vec::new();
    for object in objects {
        if WORKLOADS.contains(&object.kind.as_str()) {
            images.reached().await?;
        }
        evidence.push(applier.apply(object).await?);
    }
    applier.await_established(None).await?;
    Ok(evidence)
}

/// Applies objects, and caches the resources that the API server reports.
struct Applier<'c> {
    client: &'c Client,
    kinds: HashMap<GroupVersionKind, ApiResource>,
    /// The applied `CustomResourceDefinition` objects that may not be served yet: name and group.
    definitions: Vec<(String, String)>,
}

impl Applier<'_> {
    async fn apply(&mut self, object: &Object) -> Result<Evidence, Failure> {
        let kind = gvk(&object.api_version, &object.kind);
        self.await_established(Some(&kind.group)).await?;
        let resource = self.resource(object, &kind).await?;
        let api: Api<DynamicObject> = match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut parameters = PatchParams::apply(MANAGER).force();
        parameters.field_validation = Some(ValidationDirective::Strict);
        let patch = Patch::Apply(&object.value);
        let applied = retry_transient(|| api.patch(&object.name, &parameters, &patch)).await;
        applied.map_err(|error| apply_failure(object, &error))?;
        if object.kind == "CustomResourceDefinition" {
            let group = object.value["spec"]["group"].as_str();
            let group = group.unwrap_or_default().to_owned();
            self.definitions.push((object.name.clone(), group));
        }
        if object.kind == "ResourceQuota" {
            await_quota(api, object).await?;
        }
        Ok(Evidence::new(object.title(), "applied", "applied", true))
    }

    /// The API server's resource for objects of `kind`.
    async fn resource(
        &mut self,
        object: &Object,
        kind: &GroupVersionKind,
    ) -> Result<ApiResource, Failure> {
        if let Some(resource) = self.kinds.get(kind) {
            return Ok(resource.clone());
        }
        let found = retry_transient(|| discovery::pinned_kind(self.client, kind)).await;
        let (resource, _) = found.map_err(|error| apply_failure(object, &error))?;
        self.kinds.insert(kind.clone(), resource.clone());
        Ok(resource)
    }

    /// Waits until the `CustomResourceDefinition` objects of `group`, or all of them, are served.
    async fn await_established(&mut self, group: Option<&str>) -> Result<(), Failure> {
        let is_awaited = |(_, of): &mut (String, String)| group.is_none_or(|group| group == of);
        let awaited: Vec<_> = self.definitions.extract_if(.., is_awaited).collect();
        for (name, _) in awaited {
            let api: Api<Definition> = Api::all(self.client.clone());
            let served = conditions::is_crd_established();
            let decided = |definition: Option<&Definition>| {
                served.matches_object(definition) || definition.and_then(name_conflict).is_some()
            };
            let decided = until_holds(&api, &name, decided).await;
            let decided =
                decided.map_err(|error| wait_failure(&format!("{name} is established"), &error))?;
            if let Some(why) = decided.as_ref().and_then(name_conflict) {
                let message = format!("the API server does not serve {name}: {why}");
                return Err(Failure::new(Symptom::ObjectRefused, message));
            }
        }
        Ok(())
    }
}

/// The API server's message if it rejected the names in a `CustomResourceDefinition`.
fn name_conflict(definition: &Definition) -> Option<&str> {
    let conditions = definition.status.as_ref()?.conditions.as_ref()?;
    let rejected = conditions
        .iter()
        .find(|condition| condition.type_ == "NamesAccepted" && condition.status == "False")?;
    rejected.message.as_deref().or(rejected.reason.as_deref())
}

/// Waits until the controller manager enforces a quota. Pods that are created earlier may exceed it.
async fn await_quota(api: Api<DynamicObject>, object: &Object) -> Result<(), Failure> {
    let is_enforced = |quota: Option<&DynamicObject>| {
        quota.is_some_and(|quota| quota.data.pointer("/status/hard").is_some())
    };
    let waited = until_holds(&api, &object.name, is_enforced).await;
    let what = format!("{} is in effect", object.title());
    waited
        .map(drop)
        .map_err(|error| wait_failure(&what, &error))
}

/// Waits until `condition` holds for an object. If watching the object fails, watches it again: under load, a single
/// error says nothing about the object.
pub(super) async fn until_holds<K>(
    api: &Api<K>,
    name: &str,
    condition: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>, wait::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut errors = 0;
    loop {
        match Box::pin(await_condition(api.clone(), name, &condition)).await {
            Err(error) if errors < WATCH_ERRORS => {
                errors += 1;
                tracing::debug!(name, error = chain(&error), "an object can't be watched");
                tokio::time::sleep(WATCH_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// The failure if waiting until `what` ended with `error`.
fn wait_failure(what: &str, error: &wait::Error) -> Failure {
    let message = format!("failed to wait until {what}: {}", chain(error));
    Failure::new(Symptom::ApiServerGone, message)
}

/// The kind `kind` of `api_version`, such as `v1` or `apps/v1`.
pub(super) fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}

/// Retries `call` as long as its error may be temporary, like the errors of an API server that is starting or
/// overloaded.
pub(super) async fn retry_transient<T, F: Future<Output = Result<T, kube::Error>>>(
    call: impl FnMut() -> F,
) -> Result<T, kube::Error> {
    call.retry(every(INTERVAL, STARTUP))
        .when(is_transient)
        .await
}

/// Whether a retry may succeed: there was no connection, or the server is overloaded or still starting. An error about
/// the object itself is permanent.
fn is_transient(error: &kube::Error) -> bool {
    use kube::Error::{Api, HyperError, ReadEvents, Service};
    matches!(error, Api(status) if status.code == 409 || !is_object_rejected(status.code, &status.message))
        || matches!(error, HyperError(_) | Service(_) | ReadEvents(_))
}

fn apply_failure(object: &Object, error: &kube::Error) -> Failure {
    let title = object.title();
    match error {
        kube::Error::Api(status) if is_object_rejected(status.code, &status.message) => {
            let (file, why) = (&object.source.file, &status.message);
            let message = format!("the API server rejected {title} ({file}): {why}");
            Failure::new(Symptom::ObjectRefused, message)
        }
        kube::Error::Discovery(_) => {
            let (version, kind, why) = (&object.api_version, &object.kind, chain(error));
            let message = format!(
                "the API server does not know the kind of {title}, {version} {kind}: {why}"
            );
            Failure::new(Symptom::ObjectRefused, message)
        }
        error => {
            let message = format!("failed to apply {title}: {}", chain(error));
            Failure::new(Symptom::ApiServerGone, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_survives_an_error_of_its_watch() {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let (status, body) = match counted.fetch_add(1, Ordering::Relaxed) {
                0 => (
                    500,
                    json!({"kind": "Status", "code": 500, "message": "etcdserver: request timed out"}),
                ),
                _ => (
                    200,
                    json!({"metadata": {"resourceVersion": "1"}, "items": []}),
                ),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let response = http::Response::builder().status(status).body(body);
            std::future::ready(Ok::<_, Infallible>(
                response.expect("the response is valid"),
            ))
        });
        let namespaces: Api<Namespace> = Api::all(Client::new(service, "default"));
        let found = until_holds(&namespaces, "cell", |found| found.is_none()).await;
        assert!(found.expect("the error is temporary").is_none());
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }
}
