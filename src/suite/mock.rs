//! The mock's test interface, as the suite uses it: a view of the counters that follows their stream, and single questions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use mockapi::view::{LastRequests, NodeView, Nodes, Snapshot, Totals};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// How long the mock may be out of reach before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(15);
/// How long one question may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The mock says something at least every 15 s: a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(40);

/// What the mock has counted, as far as is known by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The mock's process.
    pub(crate) instance: String,
    /// Summed over all nodes.
    pub(crate) totals: Totals,
    /// By node id.
    pub(crate) nodes: BTreeMap<String, NodeView>,
}

impl View {
    /// The node that registered under `hostname`, with its id.
    pub(crate) fn node(&self, hostname: &str) -> Option<(&String, &NodeView)> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(_, node)| node.hostname.as_deref() == Some(hostname))
    }
}

/// What the stream's follower knows.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Nothing came yet, or nothing comes any more, since then.
    Down(Instant),
    /// This came last.
    Up(Arc<View>),
    /// Another process answers than before: what was counted is lost.
    Restarted,
}

/// A client of one cell's mock. Follows the counters' stream until it is dropped.
pub(crate) struct MockClient {
    http: reqwest::Client,
    base: String,
    link: watch::Receiver<Link>,
    follower: JoinHandle<()>,
}

impl Drop for MockClient {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl MockClient {
    /// Begins to follow the mock at `address`.
    pub(crate) fn start(address: SocketAddr) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| {
                Failure::new(
                    Symptom::ForwardLost,
                    format!("failed to make a client for the mock: {}", chain(&error)),
                )
            })?;
        let base = format!("http://{address}");
        let (sender, link) = watch::channel(Link::Down(Instant::now()));
        let follower = Follower {
            http: http.clone(),
            url: format!("{base}/test/assertions/stream"),
            link: sender,
            instance: None,
        };
        let follower = tokio::spawn(follower.run());
        Ok(Self {
            http,
            base,
            link,
            follower,
        })
    }

    /// The stream's state, for waiting on it.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// What the stream brought last.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        match &*self.link.borrow() {
            Link::Up(view) => Some(Arc::clone(view)),
            Link::Down(_) | Link::Restarted => None,
        }
    }

    /// The nodes as they are right now, asked for and not awaited from the stream.
    pub(crate) async fn nodes(&self, deadline: &Deadline) -> Result<Nodes, Failure> {
        let answer = self.get("/test/assertions/nodes", deadline).await?;
        answer.json().await.map_err(|error| lost(&error))
    }

    /// The last body that each node sent to `endpoint`, by node id; empty if the mock doesn't offer the question.
    pub(crate) async fn last_requests(
        &self,
        endpoint: &str,
        deadline: &Deadline,
    ) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let path = format!("/test/last-requests/{endpoint}");
        let answer = self.get(&path, deadline).await?;
        if !answer.status().is_success() {
            return Ok(BTreeMap::new());
        }
        let text = answer.bytes().await.map_err(|error| lost(&error))?;
        let bodies: LastRequests = serde_json::from_slice(&text).unwrap_or_default();
        let decoded = bodies
            .into_iter()
            .filter_map(|(id, body)| Some((id, STANDARD.decode(body).ok()?)));
        Ok(decoded.collect())
    }

    /// The last body that `node` sent to `endpoint`; none if it never sent one.
    pub(crate) async fn last_request(
        &self,
        endpoint: &str,
        node: &str,
        deadline: &Deadline,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let path = format!("/test/last-request/{endpoint}?node={node}");
        let answer = self.get(&path, deadline).await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status().map_err(|error| lost(&error))?;
        let body = answer.bytes().await.map_err(|error| lost(&error))?;
        Ok(Some(body.to_vec()))
    }

    /// Asks until there is an answer: the connection may come anew in between.
    async fn get(&self, path: &str, deadline: &Deadline) -> Result<reqwest::Response, Failure> {
        let url = format!("{}{path}", self.base);
        let request = || self.http.get(&url).timeout(REQUEST_TIMEOUT).send();
        let asking =
            backon::Retryable::retry(request, retries().with_total_delay(Some(LOST_AFTER)));
        match deadline.run(asking).await {
            Ok(answer) => answer.map_err(|error| lost(&error)),
            Err(timed_out) => Err(Failure::new(
                Symptom::ForwardLost,
                format!("the mock did not answer `{path}`: {timed_out}"),
            )),
        }
    }
}

fn lost(error: &reqwest::Error) -> Failure {
    Failure::new(
        Symptom::ForwardLost,
        format!("the mock can't be reached: {}", chain(error)),
    )
}

fn retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(500))
        .without_max_times()
}

/// Follows the stream of counters, and follows it again whenever it ends.
struct Follower {
    http: reqwest::Client,
    url: String,
    link: watch::Sender<Link>,
    /// The process that answered first: with another one, what was counted is lost.
    instance: Option<String>,
}

impl Follower {
    async fn run(mut self) {
        let mut delays = retries().build();
        loop {
            let Err(error) = self.once().await;
            tracing::debug!(%error, "the stream of counters ended");
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

    async fn once(&mut self) -> Result<std::convert::Infallible, StreamError> {
        let asking = self.http.get(&self.url).send();
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, asking)
            .await
            .map_err(|_| StreamError::Silent)??
            .error_for_status()?;
        let mut bytes = std::pin::pin!(answer.bytes_stream().eventsource());
        let mut view = View::default();
        loop {
            let snapshot: Snapshot = serde_json::from_str(&next_event(&mut bytes).await?)?;
            view.instance = snapshot.instance;
            view.totals = snapshot.assertions;
            view.nodes.extend(snapshot.nodes);
            self.publish(&view);
        }
    }

    fn publish(&mut self, view: &View) {
        let first = self.instance.get_or_insert_with(|| view.instance.clone());
        self.link.send_replace(if *first == view.instance {
            Link::Up(Arc::new(view.clone()))
        } else {
            Link::Restarted
        });
    }
}

/// Why one reading of the stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("failed to ask for the stream")]
    Request(#[from] reqwest::Error),
    #[error("failed to read the stream: {0}")]
    Read(String),
    #[error("failed to understand the stream")]
    Parse(#[from] serde_json::Error),
    #[error("the stream was silent")]
    Silent,
    #[error("the stream ended")]
    Ended,
}

async fn next_event<E: std::error::Error + 'static>(
    events: &mut (impl Stream<Item = Result<eventsource_stream::Event, E>> + Unpin),
) -> Result<String, StreamError> {
    match tokio::time::timeout(SILENCE, events.next()).await {
        Ok(Some(Ok(event))) => Ok(event.data),
        Ok(Some(Err(error))) => Err(StreamError::Read(chain(&error))),
        Ok(None) => Err(StreamError::Ended),
        Err(_) => Err(StreamError::Silent),
    }
}
