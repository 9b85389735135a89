//! A stage for one test: a mock Central API in this process, a folder, and the real `plexd` binary in a clean
//! environment.
//!
//! Every wait is for a condition and has a deadline. A failed test prints what it waited for, what the mock recorded
//! and what the agents logged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mockapi::view::{Counter, NodeView, Nodes};
use mockapi::{Options, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::plexd::Plexd;

/// The deadline of conditions. On an idle machine, each is met within a second, but a busy machine may need much
/// longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// The name of the node that a test starts by default.
pub(crate) const NODE: &str = "stage-worker";
/// The token that every agent registers with.
pub(crate) const TOKEN: &str = "e2e-test-token";

/// The environment of one test.
pub(crate) struct Stage {
    pub(crate) mock: Server,
    pub(crate) directory: TempDir,
    client: reqwest::Client,
}

/// A mock at `addr`, with a free port for TLS.
pub(crate) async fn mock(addr: &str) -> Server {
    let options = Options {
        addr: addr.into(),
        tls_addr: "127.0.0.1:0".into(),
        ..Options::default()
    };
    mockapi::start(options).await.expect("the mock starts")
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self {
            mock: mock("127.0.0.1:0").await,
            directory: TempDir::new().expect("a temporary folder can be created"),
            client: client(),
        }
    }

    /// The data directory that this stage's agents share.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn identity_file(&self) -> PathBuf {
        self.data_dir().join("identity.json")
    }

    /// Writes an agent's configuration like the one in plexd's test script, with `interval` for all intervals and
    /// `more` at the end.
    pub(crate) fn configuration(&self, interval: &str, more: &str) -> PathBuf {
        let (addr, tls_addr) = (self.mock.addr(), self.mock.tls_addr());
        let data_dir = self.data_dir();
        let data_dir = data_dir.display();
        let head = format!(
            "api: {{base_url: 'http://{addr}'}}\n\
             registration: {{data_dir: '{data_dir}'}}\n\
             node_api: {{data_dir: '{data_dir}'}}\n\
             heartbeat: {{node_id: shared, interval: {interval}}}\n"
        );
        let streams = [
            ("metrics", "metrics"),
            ("log_fwd", "logs"),
            ("audit_fwd", "audit"),
        ];
        let streams = streams.map(|(section, name)| {
            format!(
                "{section}: {{collect_interval: {interval}, report_interval: {interval}, local_endpoint: {{url: \
                 'https://{tls_addr}/local/{name}', secret_key: local-bearer-token, tls_insecure_skip_verify: true}}}}\n"
            )
        });
        let path = self.directory.path().join("config.yaml");
        fs::write(&path, head + &streams.concat() + more).expect("the folder can be written");
        path
    }

    /// An agent with short intervals, not yet started.
    pub(crate) fn plexd(&self) -> Plexd {
        self.plexd_with(&self.configuration("100ms", ""))
    }

    /// An agent with this configuration, not yet started.
    pub(crate) fn plexd_with(&self, configuration: &Path) -> Plexd {
        Plexd::new(configuration, self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("stderr.log")
    }

    /// Everything that agents of this stage have written to stderr so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Everything that the mock has recorded.
    pub(crate) async fn nodes(&self) -> BTreeMap<String, NodeView> {
        let answer = self
            .client
            .get(self.url("/test/assertions/nodes"))
            .send()
            .await;
        let nodes: Nodes = answer
            .expect("the mock answers")
            .json()
            .await
            .expect("the response has the mock's type");
        nodes.nodes
    }

    /// What the mock has recorded about one node.
    pub(crate) async fn node(&self, hostname: &str) -> Option<NodeView> {
        let mut nodes = self.nodes().await.into_values();
        nodes.find(|node| node.hostname.as_deref() == Some(hostname))
    }

    /// A counter summed over all nodes.
    pub(crate) async fn count(&self, counter: Counter) -> u64 {
        self.nodes()
            .await
            .values()
            .map(|node| node.counters[counter])
            .sum()
    }

    /// Waits until every counter has reached its minimum.
    pub(crate) async fn reach(&self, minimums: &[(Counter, u64)]) {
        let what = format!("counters {minimums:?}");
        self.until(&what, async || {
            let nodes = self.nodes().await;
            minimums.iter().all(|(counter, minimum)| {
                nodes
                    .values()
                    .map(|node| node.counters[*counter])
                    .sum::<u64>()
                    >= *minimum
            })
        })
        .await;
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(DEADLINE, waiting).await.is_ok() {
            return;
        }
        let (seen, log) = (self.nodes().await, self.log());
        panic!("timed out waiting for {what}\nrecorded: {seen:#?}\nlog:\n{log}");
    }

    /// The last body that an endpoint received, as JSON.
    pub(crate) async fn last_request(&self, endpoint: &str) -> Value {
        serde_json::from_str(&self.last_text(endpoint).await).expect("the body is JSON")
    }

    /// The last body that an endpoint received, unchanged.
    pub(crate) async fn last_text(&self, endpoint: &str) -> String {
        let url = self.url(&format!("/test/last-request/{endpoint}"));
        let answer = self.client.get(url).send().await.expect("the mock answers");
        assert!(
            answer.status().is_success(),
            "{endpoint} has received no body"
        );
        answer.text().await.expect("the body is text")
    }

    /// Posts a JSON body to the mock's test interface.
    pub(crate) async fn post(&self, path: &str, body: &Value) {
        let answer = self.client.post(self.url(path)).json(body).send().await;
        let status = answer.expect("the mock answers").status();
        assert!(status.is_success(), "{path}: {status}");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.mock.addr())
    }
}

/// A client for plain HTTP. It needs no certificates, but the library requires a crypto provider.
pub(crate) fn client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls);
    client
        .build()
        .expect("a client for plain HTTP can be created")
}
