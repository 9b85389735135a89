//! Polling, for the few events that can't be watched: a file on a node, a server's first response.

use std::time::Duration;

use backon::ExponentialBuilder;

/// Retries at a fixed interval until the delays add up to `limit`.
pub(crate) fn every(interval: Duration, limit: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_factor(1.0)
        .with_min_delay(interval)
        .with_max_delay(interval)
        .without_max_times()
        .with_total_delay(Some(limit))
}
