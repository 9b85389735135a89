//! The three streams of entries: metrics, logs and audit.
//!
//! A source produces entries, a [`Collector`] copies them into one buffer per side, and a [`Delivery`] sends the
//! entries of each buffer to its side. A side is a destination: the Central API or the stream's local endpoint. The
//! sides are independent: if a local endpoint's token arrives late, no entry is lost, and deliveries to the other side
//! are not delayed.

pub(crate) mod audit;
mod buffer;
mod collector;
mod delivery;
mod logs;
mod metrics;
mod side;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use buffer::{Buffer, Entry};
pub(crate) use collector::Source;
pub(crate) use logs::Captured;
pub(crate) use metrics::Metrics;

use crate::agent::Node;
use crate::config;
use crate::fault::Fault;
use crate::local::LocalSide;
use collector::Collector;
use delivery::Delivery;
use side::Side;

/// One of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Values about the node.
    Metrics,
    /// The agent's own log lines.
    Logs,
    /// The agent's actions.
    Audit,
}

impl Kind {
    /// The last segment of the path, on both sides.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Audit => "audit",
        }
    }

    const fn silent_platform(self) -> Fault {
        match self {
            Self::Metrics => Fault::NoMetrics,
            Self::Logs => Fault::NoLogs,
            Self::Audit => Fault::NoAudit,
        }
    }

    const fn silent_local(self) -> Fault {
        match self {
            Self::Metrics => Fault::NoLocalMetrics,
            Self::Logs => Fault::NoLocalLogs,
            Self::Audit => Fault::NoLocalAudit,
        }
    }
}

/// Starts a stream. It collects from now on, and delivers once `node.may_deliver` is cancelled. When `node.stop` is
/// cancelled, the stream delivers the rest once, and its tasks end.
pub(crate) fn start(
    tasks: &TaskTracker,
    node: &Arc<Node>,
    kind: Kind,
    config: &config::Stream,
    local: Option<LocalSide>,
    source: impl Source,
) {
    let collected = CancellationToken::new();
    let mut buffers = Vec::new();
    for side in sides(node, kind, local) {
        let buffer = Arc::new(Buffer::default());
        buffers.push(Arc::clone(&buffer));
        let delivery = Delivery {
            once: matches!(side, Side::Platform { .. })
                && kind == Kind::Metrics
                && node.faults.has(Fault::MetricsOnce),
            side,
            buffer,
            interval: config.report_interval,
        };
        tasks.spawn(delivery.run(node.may_deliver.clone(), collected.clone()));
    }
    let collector = Collector {
        kind,
        source,
        buffers,
        interval: config.collect_interval,
    };
    tasks.spawn(collector.run(node.stop.clone(), collected));
}

fn sides(node: &Arc<Node>, kind: Kind, local: Option<LocalSide>) -> Vec<Side> {
    let platform = Side::Platform {
        kind,
        node: Arc::clone(node),
    };
    let platform = Some(platform).filter(|_| !node.faults.has(kind.silent_platform()));
    let local = local.map(|local| Side::Local { kind, local });
    let local = local.filter(|_| !node.faults.has(kind.silent_local()));
    platform.into_iter().chain(local).collect()
}
