//! Trying again, for the few things of which nobody tells when they have come: a file in a node, a server's first answer.

use std::time::Duration;

use backon::ExponentialBuilder;

/// Tries at even intervals, until the pauses sum up to `limit`.
pub(crate) fn every(interval: Duration, limit: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_factor(1.0)
        .with_min_delay(interval)
        .with_max_delay(interval)
        .without_max_times()
        .with_total_delay(Some(limit))
}
