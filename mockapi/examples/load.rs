//! A load run: a mock as a process of its own, on one thread, and many nodes that heartbeat once a second each, with a reader of
//! the counter stream beside them. At the end the mock must have counted exactly what the nodes saw acknowledged, for each node
//! and in total; anything else is exit 1.
//!
//! ```text
//! cargo run --release -p mockapi --example load -- --nodes 10000 --seconds 10
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program owns its terminal"
)]

use std::error::Error;
use std::fs;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use futures::future::try_join_all;
use mockapi::view::{Counter, Nodes, Totals};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

type Failure = Box<dyn Error + Send + Sync>;

/// The time from one heartbeat of a node to its next.
const INTERVAL: Duration = Duration::from_secs(1);

/// The unit of CPU times in `/proc`, which is the same on every Linux machine of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A load run against a mock of its own
#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    load: Load,
}

#[derive(Subcommand)]
enum Role {
    /// Serves as the mock, on one thread
    Mock(mockapi::cli::Arguments),
}

#[derive(Args, Clone, Copy)]
struct Load {
    /// How many nodes heartbeat
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    nodes: u32,
    /// How often each of them does, once a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Over how many keep-alive connections
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    connections: u32,
}

/// A registered node and what it saw.
struct Node {
    id: String,
    key: String,
    acknowledged: u64,
}

/// The nodes that share one connection, and how long their heartbeats took from when they were due.
struct Lane {
    client: Client,
    nodes: Vec<Node>,
    latencies: Vec<Duration>,
    failed: u64,
}

/// A running mock.
struct Mock {
    child: Child,
    base: String,
}

fn main() -> ExitCode {
    let program = Program::parse();
    // The client asks for a provider, also where it uses none; a second installation would only be one that is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime needs no more than an epoll instance");
    match program.role {
        Some(Role::Mock(arguments)) => runtime.block_on(mockapi::cli::run(arguments)),
        None => runtime.block_on(run(program.load)).unwrap_or_else(|error| {
            eprintln!("failed to run the load: {error}");
            ExitCode::FAILURE
        }),
    }
}

async fn run(load: Load) -> Result<ExitCode, Failure> {
    let mock = Mock::spawn().await?;
    let lanes =
        try_join_all((0..load.connections).map(|lane| Lane::register(&mock.base, lane, load)))
            .await?;
    println!(
        "{} nodes registered over {} connections",
        load.nodes, load.connections
    );
    let reader = tokio::spawn(read_stream(format!("{}/test/assertions/stream", mock.base)));
    let cpu_before = mock.cpu_seconds()?;
    let start = Instant::now();
    let beating = lanes.into_iter().zip(0..).map(|(lane, number)| {
        let offset = INTERVAL * number / load.connections;
        tokio::spawn(lane.beat(mock.base.clone(), start + offset, load.seconds))
    });
    let lanes = try_join_all(beating).await?;
    print_speed(&lanes, start.elapsed(), mock.cpu_seconds()? - cpu_before);
    let is_exact = compare(&lanes, &mock.base).await?;
    mock.stop().await?;
    let (events, bytes) = reader.await??;
    println!(
        "counter stream: {events} events, {:.1} MB",
        as_f64(bytes) / 1e6
    );
    Ok(if is_exact {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Mock {
    /// Starts this program once more, as the mock, and waits for it to say where it listens.
    async fn spawn() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["mock", "--addr", "127.0.0.1:0", "--tls-addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the mock has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next_line().await?.ok_or("the mock ended at once")?;
        // Both lines are read, since a mock that can't print its addresses ends.
        lines.next_line().await?.ok_or("the mock ended at once")?;
        let addr = line
            .strip_prefix("MOCKAPI_ADDR=")
            .ok_or("the mock did not say where it listens")?;
        Ok(Self {
            base: format!("http://{addr}"),
            child,
        })
    }

    /// The CPU time that the mock has used, of user and system together.
    fn cpu_seconds(&self) -> Result<f64, Failure> {
        let id = self.child.id().ok_or("the mock has ended")?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let (_, fields) = stat
            .rsplit_once(") ")
            .ok_or("the mock's stat has no name")?;
        // Counted from the state, which is the first field after the name.
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(as_f64(times.sum::<Result<u64, _>>()?) / TICKS_PER_SECOND)
    }

    async fn stop(mut self) -> Result<(), Failure> {
        self.child.kill().await?;
        Ok(())
    }
}

impl Lane {
    /// Registers every `connections`th node, one after the other over one connection.
    async fn register(base: &str, lane: u32, load: Load) -> Result<Self, Failure> {
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
                    .ok_or("the registration is not whole")
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

    /// Heartbeats with every node once a second, spread over the second. A node that is late catches up, so that none is left out.
    async fn beat(mut self, base: String, start: Instant, times: u32) -> Self {
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
    /// Whether a heartbeat was acknowledged.
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

/// Follows the counters until the mock ends: how many events came, and how many bytes.
async fn read_stream(url: String) -> Result<(usize, u64), Failure> {
    let mut response = Client::new().get(url).send().await?;
    let (mut events, mut bytes) = (0, 0);
    // The end of the mock breaks the stream off, which is its end here.
    while let Ok(Some(chunk)) = response.chunk().await {
        events += chunk.windows(2).filter(|pair| pair == b"\n\n").count();
        bytes += chunk.len() as u64;
    }
    Ok((events, bytes))
}

fn print_speed(lanes: &[Lane], elapsed: Duration, cpu: f64) {
    let mut latencies: Vec<_> = lanes
        .iter()
        .flat_map(|lane| lane.latencies.iter().copied())
        .collect();
    latencies.sort_unstable();
    let at = |permille: usize| {
        latencies.get((latencies.len() * permille / 1000).min(latencies.len().saturating_sub(1)))
    };
    let milliseconds =
        |permille| at(permille).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3);
    let seconds = elapsed.as_secs_f64();
    println!(
        "{} heartbeats in {seconds:.2} s, {:.0} a second",
        latencies.len(),
        as_f64(latencies.len() as u64) / seconds
    );
    println!(
        "latency from due to done: median {:.1} ms, 99 % {:.1} ms, 99.9 % {:.1} ms, worst {:.1} ms",
        milliseconds(500),
        milliseconds(990),
        milliseconds(999),
        milliseconds(1000)
    );
    println!(
        "the mock used {cpu:.2} s of CPU, {:.0} % of one core",
        cpu / seconds * 100.0
    );
}

/// Whether the mock counted what was acknowledged, for every node and in total.
async fn compare(lanes: &[Lane], base: &str) -> Result<bool, Failure> {
    let totals: Totals = reqwest::get(format!("{base}/test/assertions"))
        .await?
        .json()
        .await?;
    let counted: Nodes = reqwest::get(format!("{base}/test/assertions/nodes"))
        .await?
        .json()
        .await?;
    let nodes = || lanes.iter().flat_map(|lane| &lane.nodes);
    let count = |node: &Node| {
        counted
            .nodes
            .get(&node.id)
            .map_or(0, |view| view.counters[Counter::Heartbeat])
    };
    let wrong: Vec<_> = nodes()
        .filter(|node| count(node) != node.acknowledged)
        .collect();
    let acknowledged: u64 = nodes().map(|node| node.acknowledged).sum();
    let failed: u64 = lanes.iter().map(|lane| lane.failed).sum();
    println!(
        "acknowledged {acknowledged}, failed {failed}, counted {}",
        totals[Counter::Heartbeat]
    );
    for node in wrong.iter().take(10) {
        println!(
            "{}: acknowledged {}, counted {}",
            node.id,
            node.acknowledged,
            count(node)
        );
    }
    let is_whole = counted.nodes.len() == nodes().count();
    let is_exact =
        wrong.is_empty() && is_whole && failed == 0 && totals[Counter::Heartbeat] == acknowledged;
    println!(
        "{}",
        if is_exact {
            "exact: not a count was lost"
        } else {
            "NOT exact"
        }
    );
    Ok(is_exact)
}

#[expect(clippy::cast_precision_loss, reason = "for figures that people read")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
