//! Delivers one buffer to one side.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::buffer::Buffer;
use super::side::{PostError, Side};
use crate::config::Interval;
use crate::retry::{chain, never, until_done};

/// The delivery to one side of a stream.
pub(crate) struct Delivery {
    /// The destination.
    pub(crate) side: Side,
    /// The buffer.
    pub(crate) buffer: Arc<Buffer>,
    /// The time between reports.
    pub(crate) interval: Interval,
    /// Whether to stop after the first acknowledged batch.
    pub(crate) once: bool,
}

impl Delivery {
    /// Delivers as soon as there is an entry and `may_deliver` is cancelled, and then once per interval. When
    /// `collected` is cancelled, delivers the rest and returns. Entries that can't be delivered then are lost.
    pub(crate) async fn run(self, may_deliver: CancellationToken, collected: CancellationToken) {
        let first_entry = async {
            may_deliver.cancelled().await;
            self.buffer.filled().await;
        };
        collected.run_until_cancelled(first_entry).await;
        let mut ticks = tokio::time::interval(self.interval.get());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acknowledged = false;
        while collected.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.deliver(&collected).await {
                Ok(batches) if batches > 0 && !acknowledged => {
                    acknowledged = true;
                    info!("{} succeeded for the first time", self.side.name());
                }
                Ok(_) => {}
                Err(_) => return,
            }
            if acknowledged && self.once {
                return;
            }
        }
        if let Err(error) = self.deliver(&collected).await {
            debug!(
                reason = chain(&error),
                "{} failed at the end",
                self.side.name()
            );
        }
    }

    /// Posts until the buffer is empty or, with `once`, a single batch. Returns the number of acknowledged batches.
    /// Fails only when `stop` is cancelled.
    async fn deliver(&self, stop: &CancellationToken) -> Result<u32, PostError> {
        let mut batches = 0;
        while until_done(self.side.name(), stop, never, || self.post_oldest()).await? {
            batches += 1;
            if self.once {
                break;
            }
        }
        Ok(batches)
    }

    /// Makes one attempt to post the oldest entries. Returns `false` if there are none.
    async fn post_oldest(&self) -> Result<bool, PostError> {
        let Some(batch) = self.buffer.oldest() else {
            return Ok(false);
        };
        self.side.post(&batch).await?;
        self.buffer.acknowledge(&batch);
        Ok(true)
    }
}
