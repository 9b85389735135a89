//! Access to an API server: a client whose server responds, and a cell's view of the cluster.

use std::time::Duration;

use backon::Retryable;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use super::transient::retry_transient;
use super::watch::View;
use crate::cluster::retry::every;
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// An API server that responds.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) client: Client,
    /// The version that the API server reports, such as `v1.34.4`.
    pub(crate) server_version: String,
}

/// A cell's access to its cluster.
pub(crate) struct Kube {
    pub(crate) client: Client,
    /// The version that the API server reports, such as `v1.34.4`.
    pub(crate) server_version: String,
    /// The watched objects.
    pub(crate) view: View,
}

/// The delay between two requests until the API server responds. It is short, because everything else waits for the API
/// server.
const INTERVAL: Duration = Duration::from_millis(100);

impl Access {
    /// Tries the API server of `client` until it responds, for at most `limit`.
    pub(crate) async fn open(client: Client, limit: Duration) -> Result<Self, Failure> {
        let retries = every(INTERVAL, limit);
        let version = (|| client.apiserver_version()).retry(retries).await?;
        Ok(Self {
            client,
            server_version: version.git_version,
        })
    }
}

/// How long a client waits for an API server.
struct Timeouts {
    /// How long to wait for a connection to be established.
    connect: Duration,
    /// How long to wait for a response to begin.
    response: Duration,
    /// How long to wait for the next byte on a connection. On a watch, the API server sends a bookmark at least every
    /// minute; through the forwarded port, the mock sends an event at least every 15 s.
    idle: Duration,
}

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    response: Duration::from_secs(30),
    idle: Duration::from_secs(100),
};

/// A client for the context, cluster and user that `options` select in `kubeconfig`.
pub(crate) async fn client(
    kubeconfig: Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<Client, Failure> {
    let config = Config::from_custom_kubeconfig(kubeconfig, options).await;
    let config = config.map_err(|error| unusable(&error))?;
    Ok(with_timeouts(config, &TIMEOUTS)?)
}

/// Creates a client with `timeouts`. All clients are created here, so that each of them has timeouts.
fn with_timeouts(mut config: Config, timeouts: &Timeouts) -> kube::Result<Client> {
    config.connect_timeout = Some(timeouts.connect);
    config.read_timeout = Some(timeouts.idle);
    let builder = ClientBuilder::try_from(config)?;
    let response = TimeoutLayer::new(timeouts.response);
    Ok(builder.with_layer(&response).build())
}

/// Makes a request, and retries it as long as its error may be temporary. Fails if the deadline passes first. `what`
/// says in messages what the request does, such as `delete an agent`.
pub(super) async fn request<T, F: Future<Output = kube::Result<T>>>(
    what: &str,
    deadline: &Deadline,
    call: impl FnMut() -> F,
) -> Result<T, Failure> {
    let (symptom, why) = match deadline.run(retry_transient(call)).await {
        Ok(Ok(response)) => return Ok(response),
        // The kubeconfig's user lacks a permission.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            (Symptom::BadConfiguration, status.message)
        }
        Ok(Err(error)) => (Symptom::ApiServerGone, chain(&error)),
        Err(timed_out) => (Symptom::ApiServerGone, timed_out.to_string()),
    };
    Err(Failure::new(symptom, format!("failed to {what}: {why}")))
}

/// The failure if a request to the API server failed with `error`.
fn unusable(error: &(dyn std::error::Error + 'static)) -> Failure {
    api_unreachable(&chain(error))
}

/// The failure if the API server can't be reached, because of `why`.
pub(crate) fn api_unreachable(why: &str) -> Failure {
    let message = format!("the API server can't be reached: {why}");
    Failure::new(Symptom::ClusterNotUp, message)
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                let message = format!("the API server refused a request: {}", status.message);
                Self::new(Symptom::BadConfiguration, message)
                    .with_remedy("docs/existing.md lists the permissions that a run needs")
            }
            error => unusable(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::WatchParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::deadline::RunClock;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    /// A client of an API server that accepts a request, sends `response`, and then sends nothing more.
    async fn silent_after(response: &'static str, timeouts: &Timeouts) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let config = Config::new(format!("http://{address}").parse().unwrap());
        with_timeouts(config, timeouts).unwrap()
    }

    #[tokio::test]
    async fn a_request_to_an_api_server_that_never_responds_times_out() {
        let timeouts = Timeouts {
            connect: LONG,
            response: SHORT,
            idle: LONG,
        };
        let client = silent_after("", &timeouts).await;
        let version = tokio::time::timeout(LONG / 4, client.apiserver_version());
        let error = version.await.expect("the wait ends").unwrap_err();
        assert!(chain(&error).contains("timed out"), "{}", chain(&error));
    }

    #[tokio::test]
    async fn a_request_without_permission_is_a_configuration_failure() {
        let call = || {
            let status = kube::core::Status::failure("pods is forbidden", "Forbidden");
            let error = kube::Error::Api(status.with_code(403).boxed());
            std::future::ready(Err::<(), _>(error))
        };
        let deadline = RunClock::new().deadline(LONG);
        let failure = request("delete an agent", &deadline, call).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.symptom, Symptom::BadConfiguration);
        let message = "failed to delete an agent: pods is forbidden";
        assert_eq!(failure.message, message);
    }

    #[test]
    fn the_failure_of_a_forbidden_request_says_what_was_forbidden() {
        let status = kube::core::Status::failure("leases is forbidden", "Forbidden");
        let failure = Failure::from(kube::Error::Api(status.with_code(403).boxed()));
        assert_eq!(failure.symptom, Symptom::BadConfiguration);
        let message = "the API server refused a request: leases is forbidden";
        assert_eq!(failure.message, message);
    }

    #[tokio::test]
    async fn a_silent_watch_times_out() {
        let timeouts = Timeouts {
            connect: LONG,
            response: LONG,
            idle: SHORT,
        };
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let client = silent_after(head, &timeouts).await;
        let pods: Api<Pod> = Api::default_namespaced(client);
        let watching = async {
            let watch = pods.watch(&WatchParams::default(), "0").await?;
            std::pin::pin!(watch).try_next().await
        };
        let next = tokio::time::timeout(LONG / 4, watching).await;
        let next = next.expect("the wait ends");
        assert!(next.is_err(), "{next:?}");
    }
}
