//! Requests and waits that survive the temporary errors of an API server that is starting or overloaded.

use std::fmt::Debug;
use std::time::Duration;

use backon::Retryable;
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::rejection::is_object_rejected;
use crate::cluster::retry::every;
use crate::error::chain;

/// How long to retry requests that an API server rejects during its startup. Phases have shorter deadlines.
const STARTUP: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(100);

/// How many errors a watch may have, and how long to pause after each error. All pauses together take about as long as
/// [`STARTUP`].
const WATCH_ERRORS: u32 = 60;
const WATCH_PAUSE: Duration = Duration::from_millis(500);

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::Namespace;
    use kube::Client;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_survives_an_error_of_its_watch() {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let error = json!({"kind": "Status", "code": 500, "message": "etcdserver: timed out"});
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": []});
            let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let (status, body) = if is_first { (500, error) } else { (200, list) };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            std::future::ready(http::Response::builder().status(status).body(body))
        });
        let namespaces: Api<Namespace> = Api::all(Client::new(service, "default"));
        let found = until_holds(&namespaces, "cell", |found| found.is_none()).await;
        assert!(found.expect("the error is temporary").is_none());
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }
}
