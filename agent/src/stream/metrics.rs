//! The metrics source: a few values about the node, from `/proc`.
//!
//! A value that can't be read or parsed is left out, so that an agent on an unusual kernel still reports the others.

use std::collections::BTreeMap;

use procfs::process::Process;
use procfs::{Current, CurrentSI, KernelStats, LoadAverage, Meminfo, Uptime};

use super::buffer::Entry;
use super::collector::Source;
use crate::wire::MetricEntry;

type Figures = BTreeMap<&'static str, f64>;

/// A source that measures at each collection.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Busy and total processor time at the last measurement.
    processor: Option<(u64, u64)>,
}

impl Source for Metrics {
    fn collect(&mut self) -> Vec<Entry> {
        let timestamp = crate::clock::now();
        [
            ("system", system()),
            ("memory", memory()),
            ("cpu", self.processor()),
        ]
        .into_iter()
        .filter(|(_, data)| !data.is_empty())
        .map(|(group, data)| {
            Entry::new(&MetricEntry {
                timestamp,
                group,
                data,
            })
        })
        .collect()
    }

    fn remainder(&mut self) -> Vec<Entry> {
        Vec::new()
    }

    fn take_dropped(&mut self) -> u64 {
        0
    }
}

impl Metrics {
    /// The share of processor time since the last measurement that was not idle, from 0 to 1. The first measurement
    /// covers the time since boot.
    fn processor(&mut self) -> Figures {
        let Some((busy, total)) = processor_time() else {
            return Figures::new();
        };
        let (busy_before, total_before) = self.processor.replace((busy, total)).unwrap_or_default();
        let elapsed = total.saturating_sub(total_before).max(1);
        let share = number(busy.saturating_sub(busy_before)) / number(elapsed);
        Figures::from([("busy_ratio", share.min(1.0))])
    }
}

fn system() -> Figures {
    let uptime = Uptime::current().map(|uptime| ("uptime_seconds", uptime.uptime));
    // The kernel prints two decimals. Rounding removes the error of the conversion from `f32`.
    let hundredths = LoadAverage::current().map(|load| (f64::from(load.one) * 100.0).round());
    let load = hundredths.map(|hundredths| ("load_1m", hundredths / 100.0));
    uptime.into_iter().chain(load).collect()
}

fn memory() -> Figures {
    let info = Meminfo::current().ok();
    let status = Process::myself().and_then(|process| process.status());
    let resident = status.ok().and_then(|status| status.vmrss);
    [
        ("total_bytes", info.as_ref().map(|info| info.mem_total)),
        ("available_bytes", info.and_then(|info| info.mem_available)),
        ("agent_resident_bytes", resident.map(|kib| kib * 1024)),
    ]
    .into_iter()
    .filter_map(|(name, bytes)| Some((name, number(bytes?))))
    .collect()
}

#[expect(clippy::cast_precision_loss, reason = "for figures that people read")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Busy and total time of all processors, in the kernel's unit.
fn processor_time() -> Option<(u64, u64)> {
    let time = KernelStats::current().ok()?.total;
    let rest = [
        time.irq,
        time.softirq,
        time.steal,
        time.guest,
        time.guest_nice,
    ];
    let rest: u64 = rest.into_iter().flatten().sum();
    let busy = time.user + time.nice + time.system + rest;
    Some((busy, busy + time.idle + time.iowait?))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_measurement_has_all_groups_with_plausible_values() {
        let mut metrics = Metrics::default();
        for _ in 0..2 {
            let entries = metrics.collect();
            let body: Vec<Value> = entries
                .iter()
                .map(|entry| serde_json::from_str(&entry.to_string()).unwrap())
                .collect();
            let groups: Vec<_> = body
                .iter()
                .map(|entry| entry["group"].as_str().unwrap())
                .collect();
            assert_eq!(groups, ["system", "memory", "cpu"]);
            assert!(body[1]["data"]["agent_resident_bytes"].as_f64().unwrap() > 1024.0);
            assert!((0.0..=1.0).contains(&body[2]["data"]["busy_ratio"].as_f64().unwrap()));
        }
    }
}
