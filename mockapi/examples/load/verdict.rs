//! The result: the speed, and whether every counter is exact.

use std::time::Duration;

use mockapi::view::{Counter, Nodes, Totals};

use crate::lane::{Lane, Node};
use crate::{Failure, as_f64};

pub(crate) fn print_speed(lanes: &[Lane], elapsed: Duration, cpu: f64) {
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
        "{} heartbeats in {seconds:.2} s, {:.0} per second",
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

/// Whether the mock counted exactly the acknowledged calls, per node and in total.
pub(crate) async fn compare(lanes: &[Lane], base: &str) -> Result<bool, Failure> {
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
            "exact: no call was lost"
        } else {
            "NOT exact"
        }
    );
    Ok(is_exact)
}
