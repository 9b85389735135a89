//! The nodes, and the connections that they share.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::{Failure, Load};

/// The time between two heartbeats of a node.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// A registered node, and the results of its calls.
pub(crate) struct Node {
    pub(crate) id: String,
    key: String,
    pub(crate) acknowledged: u64,
}

/// The nodes that share one connection, and the latencies of their heartbeats. A latency is measured from the time when
/// the heartbeat was due.
pub(crate) struct Lane {
    client: Client,
    pub(crate) nodes: Vec<Node>,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) failed: u64,
}

impl Lane {
    /// Registers node number `lane` and every `load.connections`th node after it, one after another over one
    /// connection.
    pub(crate) async fn register(base: &str, lane: u32, load: Load) -> Result<Self, Failure> {
        let client = Client::builder().pool_max_idle_per_host(1).build()?;
        let mut nodes = Vec::new();
        for number in (lane..load.nodes).step_by(load.connections as usize) {
            let body =
                json!({"token": "t", "public_key": "k", "hostname": format!("load-{number}")});
            let answer: Value = client
                .post(format!("{base}/v1/register"))
                .json(&body)
                .send()
                .await?
                .json()
                .await?;
            let text = |key: &str| {
                answer[key]
                    .as_str()
                    .map(str::to_owned)
                    .ok_or("the response to the registration is incomplete")
            };
            nodes.push(Node {
                id: text("node_id")?,
                key: text("node_secret_key")?,
                acknowledged: 0,
            });
        }
        Ok(Self {
            client,
            nodes,
            latencies: Vec::new(),
            failed: 0,
        })
    }

    /// Sends a heartbeat of each node once per second, spread evenly over the second. A late node catches up, so that
    /// no heartbeat is skipped.
    pub(crate) async fn beat(mut self, base: String, start: Instant, times: u32) -> Self {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX).max(1);
        for time in 0..times {
            for (node, number) in self.nodes.iter_mut().zip(0..) {
                let due = start + INTERVAL * time + INTERVAL * number / count;
                sleep_until(due).await;
                if node.beat(&self.client, &base).await {
                    self.latencies.push(due.elapsed());
                } else {
                    self.failed += 1;
                }
            }
        }
        self
    }
}

impl Node {
    /// Sends a heartbeat. Returns whether it was acknowledged.
    async fn beat(&mut self, client: &Client, base: &str) -> bool {
        let url = format!("{base}/v1/nodes/{}/heartbeat", self.id);
        let body = r#"{"node_id":"load","timestamp":"2026-01-01T00:00:00Z","status":"healthy","uptime":"1m"}"#;
        let answer = client
            .post(url)
            .bearer_auth(&self.key)
            .body(body)
            .send()
            .await;
        let is_acknowledged = match answer {
            Ok(answer) => answer.status() == StatusCode::OK && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        self.acknowledged += u64::from(is_acknowledged);
        is_acknowledged
    }
}
