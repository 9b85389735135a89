//! The client of the mock's test interface: a view that follows the counters, and single requests.
//!
//! A mock only has to offer `GET /test/assertions` and `GET /test/last-request/{endpoint}`. The client tries the other
//! requests, and does without them if the mock doesn't offer them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::TryStreamExt;
use jiff::Timestamp;
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::NodeName;
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{CounterTable, Failure, Symptom};

/// How long the mock may be unreachable before it counts as lost.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(15);
/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The mock sends something at least every 15 s, so a stream that is silent for longer is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);

/// The known counters of the mock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Identifies the process of the mock.
    pub(crate) instance: String,
    /// The sums over all nodes: all numbers that the mock reports, by name. Empty if only the nodes were requested.
    pub(crate) totals: CounterTable,
    /// The nodes by id; `None` if the mock doesn't count per node.
    pub(crate) nodes: Option<BTreeMap<String, NodeView>>,
}

/// What the mock recorded about one node. Other fields of its response are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct NodeView {
    /// The name under which the node registered.
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    /// The newest `timestamp` of the node's `process_start` audit entries.
    #[serde(default)]
    pub(crate) last_process_start: Option<Timestamp>,
    /// How many processes of the node reported their start; `None` if the mock doesn't count them.
    #[serde(default)]
    pub(crate) process_starts: Option<u64>,
    /// The number of calls, by counter.
    #[serde(deserialize_with = "numbers")]
    pub(crate) counters: CounterTable,
}

/// The response to `GET /test/assertions`, a flat object.
#[derive(Deserialize)]
#[serde(transparent)]
struct Totals(#[serde(deserialize_with = "numbers")] CounterTable);

/// The response to `GET /test/assertions/nodes`.
#[derive(Deserialize)]
struct Nodes {
    instance: String,
    nodes: BTreeMap<String, NodeView>,
}

/// An event of `GET /test/assertions/stream`. The first event contains all nodes, and each later one the nodes that
/// changed.
#[derive(Deserialize)]
struct Snapshot {
    instance: String,
    assertions: Totals,
    nodes: BTreeMap<String, NodeView>,
}

/// Reads the fields that are non-negative integers, and skips all others.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CounterTable, D::Error> {
    let fields = BTreeMap::<String, Value>::deserialize(deserializer)?.into_iter();
    let numbers = fields.filter_map(|(name, value)| Some((name, value.as_u64()?)));
    Ok(numbers.collect())
}

/// Whose calls are checked: those of one node, or those of all nodes together.
pub(crate) type Party<'n> = Option<&'n NodeName>;

impl View {
    /// The nodes that report, with their ids.
    pub(crate) fn reporting(&self) -> impl Iterator<Item = (&String, &NodeView)> {
        self.nodes.iter().flatten()
    }

    /// The node that registered under `hostname`, with its id.
    pub(crate) fn node(&self, hostname: &str) -> Option<(&String, &NodeView)> {
        let mut nodes = self.reporting();
        nodes.find(|(_, node)| node.hostname.as_deref() == Some(hostname))
    }

    /// The parties that can be distinguished: each of `nodes` if the mock counts per node, or else all nodes together.
    pub(crate) fn parties<'n>(&self, nodes: &'n [NodeName]) -> Vec<Party<'n>> {
        match self.nodes {
            Some(_) => nodes.iter().map(Some).collect(),
            None => vec![None],
        }
    }

    /// The value of `counter` for `party`; 0 if the mock doesn't report that counter.
    pub(crate) fn count(&self, party: Party<'_>, counter: impl AsRef<str>) -> u64 {
        let counters = match party {
            None => Some(&self.totals),
            Some(node) => self.node(node.as_str()).map(|(_, seen)| &seen.counters),
        };
        let count = counters.and_then(|counters| counters.get(counter.as_ref()));
        count.copied().unwrap_or_default()
    }
}

/// The state of the connection to the mock.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// There has been no connection since this time.
    Down(Instant),
    /// The latest view.
    Up(Arc<View>),
    /// The mock was restarted, so its counters are lost.
    Restarted,
}

/// The client of one cell's mock. Follows the counters until it is dropped.
pub(crate) struct MockClient {
    http: reqwest::Client,
    base: String,
    link: watch::Receiver<Link>,
    _follower: AbortOnDropHandle<()>,
}

impl MockClient {
    /// Starts to follow the mock at `address`.
    pub(crate) fn start(address: SocketAddr) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(REQUEST_TIMEOUT)
            .build();
        let http = http.map_err(|error| {
            let why = chain(&error);
            lost(format!("failed to create a client for the mock: {why}"))
        })?;
        let base = format!("http://{address}");
        let (sender, link) = watch::channel(Link::Down(Instant::now()));
        let follower = Follower {
            http: http.clone(),
            base: base.clone(),
            link: sender,
            source: Source::Stream,
            detector: RestartDetector::default(),
        };
        Ok(Self {
            http,
            base,
            link,
            _follower: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        })
    }

    /// The address of the mock's API, as a URL.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// The state of the connection, to wait for changes.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// The latest view.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        match &*self.link.borrow() {
            Link::Up(view) => Some(Arc::clone(view)),
            Link::Down(_) | Link::Restarted => None,
        }
    }

    /// Requests the current counters: per node if the mock counts per node, otherwise in total.
    pub(crate) async fn read(&self, deadline: &Deadline) -> Result<View, Failure> {
        let response = self.get(Source::Nodes.path(), deadline).await?;
        if response.status.is_client_error() {
            let Totals(totals) = self.get(Source::Totals.path(), deadline).await?.parse()?;
            return Ok(View {
                totals,
                ..View::default()
            });
        }
        let Nodes { instance, nodes } = response.parse()?;
        Ok(View {
            instance,
            nodes: Some(nodes),
            ..View::default()
        })
    }

    /// The last body that each node sent to `endpoint`, by node id; empty if the mock doesn't offer this request.
    pub(crate) async fn last_requests(
        &self,
        endpoint: &str,
        deadline: &Deadline,
    ) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let path = format!("/test/last-requests/{endpoint}");
        let response = self.get(&path, deadline).await?;
        if !response.status.is_success() {
            return Ok(BTreeMap::new());
        }
        let bodies: BTreeMap<String, String> =
            serde_json::from_slice(&response.body).unwrap_or_default();
        let bodies = bodies.into_iter();
        let decoded = bodies.filter_map(|(id, body)| Some((id, STANDARD.decode(body).ok()?)));
        Ok(decoded.collect())
    }

    /// The last body that `node`, or any node if it is `None`, sent to `endpoint`; `None` if no body was sent.
    pub(crate) async fn last_request(
        &self,
        endpoint: &str,
        node: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let query = node.and_then(|node| {
            let url = Url::parse_with_params(&self.base, [("node", node)]).ok()?;
            Some(format!("?{}", url.query()?))
        });
        let query = query.unwrap_or_default();
        let path = format!("/test/last-request/{endpoint}{query}");
        let response = self.get(&path, deadline).await?;
        if response.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(response.successful()?.body.to_vec()))
    }

    /// Sends a request, and retries it until there is a complete response, because a lost connection may come back, and
    /// a busy mock may not send the whole body in time.
    async fn get(&self, path: &str, deadline: &Deadline) -> Result<Response, Failure> {
        let url = format!("{}{path}", self.base);
        let request = || fetch(self.http.clone(), url.clone());
        let requesting = request.retry(retries().with_total_delay(Some(LOST_AFTER)));
        let why = match deadline.run(requesting).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => format!("the mock can't be reached: {}", chain(&error)),
            Err(timed_out) => format!("the mock did not respond to `{path}`: {timed_out}"),
        };
        Err(lost(why))
    }
}

async fn fetch(http: reqwest::Client, url: String) -> reqwest::Result<Response> {
    let response = http.get(&url).timeout(REQUEST_TIMEOUT).send().await?;
    Ok(Response {
        url,
        status: response.status(),
        body: response.bytes().await?,
    })
}

/// A complete response of the mock.
struct Response {
    url: String,
    status: StatusCode,
    body: Bytes,
}

impl Response {
    /// This response, or the failure if its status isn't one of success.
    fn successful(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let Self { url, status, .. } = self;
        Err(lost(format!("the mock responded to {url} with {status}")))
    }

    /// The body of a successful response, which is JSON.
    fn parse<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let Self { url, body, .. } = self.successful()?;
        let parsed = serde_json::from_slice(&body);
        parsed.map_err(|error| lost(format!("failed to parse the response to {url}: {error}")))
    }
}

fn lost(message: String) -> Failure {
    Failure::new(Symptom::ForwardLost, message)
}

fn retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(500))
        .without_max_times()
}

/// The delay between two requests for the counters if the mock doesn't offer a stream.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The ways to follow a mock's counters, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A stream of totals and nodes.
    Stream,
    /// Polls totals and nodes.
    Nodes,
    /// Polls totals.
    Totals,
}

impl Source {
    const fn path(self) -> &'static str {
        match self {
            Self::Stream => "/test/assertions/stream",
            Self::Nodes => "/test/assertions/nodes",
            Self::Totals => "/test/assertions",
        }
    }

    /// The source to try if the mock doesn't offer this one.
    const fn next(self) -> Self {
        match self {
            Self::Stream => Self::Nodes,
            Self::Nodes | Self::Totals => Self::Totals,
        }
    }
}

/// Follows the counters, and reconnects after each failure.
struct Follower {
    http: reqwest::Client,
    base: String,
    link: watch::Sender<Link>,
    source: Source,
    detector: RestartDetector,
}

impl Follower {
    async fn run(mut self) {
        let mut delays = retries().build();
        loop {
            let followed = match self.source {
                Source::Stream => self.stream().await,
                Source::Nodes | Source::Totals => self.poll().await,
            };
            let Err(error) = followed;
            tracing::debug!(error = chain(&*error), source = ?self.source, "the counters can't be followed");
            if is_not_offered(&*error) && self.source != self.source.next() {
                self.source = self.source.next();
                continue;
            }
            self.link.send_modify(|state| match state {
                Link::Up(_) => {
                    delays = retries().build();
                    *state = Link::Down(Instant::now());
                }
                Link::Down(_) | Link::Restarted => {}
            });
            tokio::time::sleep(delays.next().unwrap_or(REQUEST_TIMEOUT)).await;
        }
    }

    async fn stream(&mut self) -> Result<Infallible, FollowError> {
        let response = self.request(Source::Stream).await?;
        let mut events = std::pin::pin!(response.bytes_stream().eventsource());
        let mut nodes = BTreeMap::new();
        loop {
            let event = timeout(IDLE_TIMEOUT, events.try_next()).await??;
            let event = event.ok_or("the stream ended")?;
            let snapshot: Snapshot = serde_json::from_str(&event.data)?;
            nodes.extend(snapshot.nodes);
            self.publish(View {
                instance: snapshot.instance,
                totals: snapshot.assertions.0,
                nodes: Some(nodes.clone()),
            });
        }
    }

    async fn poll(&mut self) -> Result<Infallible, FollowError> {
        loop {
            let mut view = View::default();
            if self.source == Source::Nodes {
                let response: Nodes = self.get(Source::Nodes).await?;
                view.instance = response.instance;
                view.nodes = Some(response.nodes);
            }
            // Requested after the nodes, so that no total is less than the sum of the nodes.
            view.totals = self.get::<Totals>(Source::Totals).await?.0;
            self.publish(view);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn get<T: DeserializeOwned>(&self, source: Source) -> Result<T, FollowError> {
        let body = self.request(source).await?.json();
        Ok(timeout(REQUEST_TIMEOUT, body).await??)
    }

    async fn request(&self, source: Source) -> Result<reqwest::Response, FollowError> {
        let url = format!("{}{}", self.base, source.path());
        let response = timeout(REQUEST_TIMEOUT, self.http.get(url).send()).await??;
        Ok(response.error_for_status()?)
    }

    fn publish(&mut self, view: View) {
        self.link.send_replace(self.detector.link(view));
    }
}

/// Detects that the mock was restarted: a view has a different instance than the first one, or, if the mock reports
/// only totals, smaller totals than the view before.
#[derive(Default)]
struct RestartDetector(Option<View>);

impl RestartDetector {
    /// The state of the connection after receiving `view`.
    fn link(&mut self, view: View) -> Link {
        let known = self.0.get_or_insert_with(|| view.clone());
        let has_lost_counts = || {
            let mut totals = known.totals.iter();
            view.nodes.is_none()
                && totals.any(|(counter, count)| *count > view.count(None, counter))
        };
        if known.instance != view.instance || has_lost_counts() {
            return Link::Restarted;
        }
        if view.nodes.is_none() {
            known.clone_from(&view);
        }
        Link::Up(Arc::new(view))
    }
}

/// Why following the counters failed.
type FollowError = Box<dyn Error + Send + Sync>;

/// Whether the status of the mock's response means that the mock doesn't offer the request.
fn is_not_offered(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<reqwest::Error>();
    let status = error.and_then(reqwest::Error::status);
    status.is_some_and(|status| status.is_client_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::deadline::RunClock;

    fn totals(heartbeats: u64) -> View {
        let mut view = View::default();
        view.totals.insert("heartbeat_count".to_owned(), heartbeats);
        view
    }

    #[test]
    fn every_non_negative_integer_that_the_mock_reports_is_a_counter() {
        let response = r#"{"heartbeat_count": 3, "peers_count": 1, "ratio": 0.5, "lag": -1, "phase": "up", "since": null}"#;
        let Totals(totals) = serde_json::from_str(response).unwrap();
        let expected = [("heartbeat_count", 3), ("peers_count", 1)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(totals, expected.into());
    }

    #[test]
    fn decreasing_totals_reveal_a_restart() {
        let mut detector = RestartDetector::default();
        for (heartbeats, has_restarted) in [(3, false), (3, false), (5, false), (4, true)] {
            let is_restarted = matches!(detector.link(totals(heartbeats)), Link::Restarted);
            assert_eq!(is_restarted, has_restarted, "{heartbeats}");
        }
    }

    #[test]
    fn a_different_instance_reveals_a_restart() {
        let mut detector = RestartDetector::default();
        for instance in ["a", "a", "b"] {
            let view = View {
                instance: instance.to_owned(),
                nodes: Some(BTreeMap::new()),
                ..View::default()
            };
            let is_restarted = matches!(detector.link(view), Link::Restarted);
            assert_eq!(is_restarted, instance == "b");
        }
    }

    /// The client of the mock at `address`, without following its counters.
    fn client(address: SocketAddr) -> MockClient {
        // The client needs a TLS provider, although it connects without TLS. Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        MockClient {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: format!("http://{address}"),
            link: watch::channel(Link::Down(Instant::now())).1,
            _follower: AbortOnDropHandle::new(tokio::spawn(async {})),
        }
    }

    #[tokio::test]
    async fn a_request_is_retried_if_its_response_breaks_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let body = r#"{"instance": "a", "nodes": {}}"#;
            for length in [body.len() / 2, body.len()] {
                let (mut connection, _) = listener.accept().unwrap();
                let read = connection.read(&mut [0; 4096]).unwrap();
                assert_ne!(read, 0);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                connection.write_all(head.as_bytes()).unwrap();
                connection.write_all(&body.as_bytes()[..length]).unwrap();
            }
        });
        let deadline = RunClock::new().deadline(Duration::from_secs(10));
        let view = client(address).read(&deadline).await.unwrap();
        assert_eq!(view.instance, "a");
    }

    #[tokio::test]
    async fn the_id_of_a_node_may_contain_any_characters() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mock = client(listener.local_addr().unwrap());
        let requested = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).unwrap();
            let response = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(response).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let deadline = RunClock::new().deadline(Duration::from_secs(10));
        let body = mock.last_request("heartbeat", Some("a+b&c"), &deadline);
        assert_eq!(body.await.unwrap(), None);
        let request = requested.join().unwrap();
        let line = "GET /test/last-request/heartbeat?node=a%2Bb%26c HTTP/1.1\r\n";
        assert!(request.starts_with(line), "{request}");
    }
}
