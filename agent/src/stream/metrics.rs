//! The metrics source: a few values about the node, from `/proc`.
//!
//! A value that can't be read or parsed is left out, so that an agent on an unusual kernel still reports the others.

use std::collections::BTreeMap;
use std::fs;

use super::buffer::Entry;
use super::collector::Source;
use crate::wire::MetricEntry;

type Figures = BTreeMap<&'static str, f64>;

/// A source that measures when it is asked.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Busy and total processor time at the last measurement.
    processor: Option<(f64, f64)>,
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
    /// The share of processor time that was not idle since the last measurement (since boot at the first one), from 0
    /// to 1.
    fn processor(&mut self) -> Figures {
        let Some((busy, total)) = processor_time(&read("stat")) else {
            return Figures::new();
        };
        let (busy_before, total_before) = self.processor.replace((busy, total)).unwrap_or_default();
        let elapsed = total - total_before;
        let share = if elapsed > 0.0 {
            (busy - busy_before) / elapsed
        } else {
            0.0
        };
        Figures::from([("busy_ratio", share.clamp(0.0, 1.0))])
    }
}

fn system() -> Figures {
    let uptime = first_number(&read("uptime")).map(|seconds| ("uptime_seconds", seconds));
    let load = first_number(&read("loadavg")).map(|load| ("load_1m", load));
    uptime.into_iter().chain(load).collect()
}

fn memory() -> Figures {
    let text = read("meminfo");
    let total = kibibytes(&text, "MemTotal:").map(|bytes| ("total_bytes", bytes));
    let available = kibibytes(&text, "MemAvailable:").map(|bytes| ("available_bytes", bytes));
    let resident =
        kibibytes(&read("self/status"), "VmRSS:").map(|bytes| ("agent_resident_bytes", bytes));
    total.into_iter().chain(available).chain(resident).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The value of a line such as `MemTotal:  8000000 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(first_number(value)? * 1024.0)
}

/// Busy and total time of all processors, from the first line of `/proc/stat`, in its unit.
fn processor_time(stat: &str) -> Option<(f64, f64)> {
    let times = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<f64> = times
        .split_whitespace()
        .map_while(|time| time.parse().ok())
        .collect();
    let idle = times.get(3)? + times.get(4)?;
    let total: f64 = times.iter().sum();
    Some((total - idle, total))
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

    #[test]
    fn processor_time_is_parsed_as_busy_and_total() {
        assert_eq!(
            processor_time("cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 1"),
            Some((15.0, 100.0))
        );
        assert_eq!(processor_time("cpu  10"), None);
        assert_eq!(processor_time(""), None);
    }

    #[test]
    fn a_line_in_kibibytes_is_converted_to_bytes() {
        assert_eq!(
            kibibytes("MemFree: 1 kB\nMemTotal:   2 kB\n", "MemTotal:"),
            Some(2048.0)
        );
        assert_eq!(kibibytes("MemFree: 1 kB", "MemTotal:"), None);
    }
}
