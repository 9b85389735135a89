//! A load run: a mock in a separate process with one thread, many nodes that each send one heartbeat per second, and a
//! reader of the counter stream. At the end, the mock's counters must equal the numbers of acknowledged calls, per node
//! and in total. If they don't, the exit code is 1.
//!
//! ```text
//! cargo run --release -p mockapi --example load -- --nodes 10000 --seconds 10
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program owns its terminal"
)]

mod lane;
mod mock;
mod verdict;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use futures::future::try_join_all;
use tokio::time::Instant;

use lane::{INTERVAL, Lane};
use mock::Mock;

type Failure = Box<dyn Error + Send + Sync>;

/// A load run against a separate mock
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
    /// How many nodes send heartbeats
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    nodes: u32,
    /// How many heartbeats each node sends, one per second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How many keep-alive connections the nodes share
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    connections: u32,
}

fn main() -> ExitCode {
    let program = Program::parse();
    // The client requires a crypto provider, even if it does not use TLS. Installing one fails only if one is already
    // installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be created");
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
    let reader = tokio::spawn(mock::read_stream(format!(
        "{}/test/assertions/stream",
        mock.base
    )));
    let cpu_before = mock.cpu_seconds()?;
    let start = Instant::now();
    let beating = lanes.into_iter().zip(0..).map(|(lane, number)| {
        let offset = INTERVAL * number / load.nodes;
        tokio::spawn(lane.beat(mock.base.clone(), start + offset, load.seconds))
    });
    let lanes = try_join_all(beating).await?;
    verdict::print_speed(&lanes, start.elapsed(), mock.cpu_seconds()? - cpu_before);
    let is_exact = verdict::compare(&lanes, &mock.base).await?;
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

#[expect(clippy::cast_precision_loss, reason = "the figures are for people")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
