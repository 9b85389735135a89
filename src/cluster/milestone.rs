//! Results of background work that several phases wait for: set once, and available to all who wait, even later.

use tokio::sync::watch;

use crate::event::Failure;

/// A state that is reached or fails.
#[derive(Debug)]
pub(crate) struct Milestone<T>(watch::Sender<Option<Result<T, Failure>>>);

impl<T: Clone> Milestone<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A milestone that has already been reached.
    pub(crate) fn reached_already(value: T) -> Self {
        Self(watch::Sender::new(Some(Ok(value))))
    }

    /// Sets the result. Only the first call counts.
    pub(crate) fn set(&self, result: Result<T, Failure>) {
        self.0.send_if_modified(|slot| {
            let is_first = slot.is_none();
            if is_first {
                *slot = Some(result);
            }
            is_first
        });
    }

    /// Waits until the milestone is reached or has failed. May be dropped and called again.
    pub(crate) async fn reached(&self) -> Result<T, Failure> {
        let mut changes = self.0.subscribe();
        let result = changes.wait_for(Option::is_some).await;
        match result.map(|slot| slot.clone()) {
            Ok(Some(result)) => result,
            // The sender is part of `self`, and the value was just checked.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The result, if the milestone has been reached.
    pub(crate) fn get(&self) -> Option<T> {
        match &*self.0.borrow() {
            Some(Ok(value)) => Some(value.clone()),
            Some(Err(_)) | None => None,
        }
    }

    /// Waits until the milestone has failed.
    pub(crate) async fn failed(&self) -> Failure {
        match self.reached().await {
            Ok(_) => std::future::pending().await,
            Err(failure) => failure,
        }
    }
}
