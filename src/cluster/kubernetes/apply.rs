//! Applies objects with server-side apply, in the order in which they were rendered. The API server rejects unknown
//! fields.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use backon::Retryable;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Definition;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{self, Condition, conditions};
use kube::{Api, Client, discovery};

use super::rejection::is_object_rejected;
use super::transient::{retry_transient, until_holds};
use crate::cluster::milestone::Milestone;
use crate::cluster::retry::every;
use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};
use crate::manifest::Object;

/// The field manager of all applied objects.
const MANAGER: &str = "e2e-matrix";

/// How long the API server's list of kinds may lack a kind after its definition is established.
const DISCOVERY_DELAY: Duration = Duration::from_secs(10);
/// How long to wait between two requests for that list.
const DISCOVERY_INTERVAL: Duration = Duration::from_millis(100);

/// Kinds that create pods. They are applied only when pods may start.
const WORKLOADS: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "StatefulSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
];

/// Applies `objects` in order. Applies objects that create pods only after `pods_may_start` is reached.
pub(crate) async fn all(
    client: &Client,
    objects: impl Iterator<Item = &Object>,
    pods_may_start: &Milestone<()>,
) -> Result<Vec<Evidence>, Failure> {
    let mut applier = Applier::new(client);
    let mut evidence = Vec::new();
    for object in objects {
        if WORKLOADS.contains(&object.kind.as_str()) {
            pods_may_start.reached().await?;
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
    /// The groups of all applied `CustomResourceDefinition` objects.
    defined: HashSet<String>,
}

impl<'c> Applier<'c> {
    fn new(client: &'c Client) -> Self {
        Self {
            client,
            kinds: HashMap::new(),
            definitions: Vec::new(),
            defined: HashSet::new(),
        }
    }

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
            self.defined.insert(group.clone());
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
        let found = self.discover(kind).await;
        let resource = found.map_err(|error| apply_failure(object, &error))?;
        self.kinds.insert(kind.clone(), resource.clone());
        Ok(resource)
    }

    /// Requests the resource for `kind`. If a definition for its group was just applied, retries until the API server
    /// knows the kind.
    async fn discover(&self, kind: &GroupVersionKind) -> kube::Result<ApiResource> {
        let client = self.client;
        let is_new = self.defined.contains(&kind.group);
        let request = || retry_transient(move || discovery::pinned_kind(client, kind));
        let found = request
            .retry(every(DISCOVERY_INTERVAL, DISCOVERY_DELAY))
            .when(|error: &kube::Error| is_new && is_unknown(error))
            .await;
        found.map(|(resource, _)| resource)
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

/// Whether the API server doesn't know a kind, or any kind of its group and version.
fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Discovery(_))
        || matches!(error, kube::Error::Api(status) if status.code == 404)
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    /// An API server that responds to the first request with 404, to the second one with an empty list of kinds, and
    /// then with a list that contains the kind.
    fn late_server(requests: Arc<AtomicUsize>) -> Client {
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let resource = json!({
                "name": "hooks", "singularName": "hook", "namespaced": true, "kind": "Hook", "verbs": ["get"],
            });
            let list = |resources| json!({"groupVersion": "e2e.test/v1", "resources": resources});
            let (status, body) = match requests.fetch_add(1, Ordering::Relaxed) {
                0 => (
                    404,
                    json!({"kind": "Status", "code": 404, "message": "not found"}),
                ),
                1 => (200, list(json!([]))),
                _ => (200, list(json!([resource]))),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            std::future::ready(http::Response::builder().status(status).body(body))
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_kind_that_was_just_defined_is_awaited() {
        let kind = gvk("e2e.test/v1", "Hook");
        for (is_defined, expected) in [(true, 3), (false, 1)] {
            let requests = Arc::new(AtomicUsize::new(0));
            let client = late_server(Arc::clone(&requests));
            let mut applier = Applier::new(&client);
            if is_defined {
                applier.defined.insert(kind.group.clone());
            }
            assert_eq!(applier.discover(&kind).await.is_ok(), is_defined);
            assert_eq!(requests.load(Ordering::Relaxed), expected);
        }
    }
}
