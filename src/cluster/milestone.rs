//! Results of background work that several phases wait for: set once, awaited by whoever comes, however late.

use tokio::sync::watch;

use crate::event::Failure;

/// Something that will be reached, or fail.
#[derive(Debug)]
pub(crate) struct Milestone<T>(watch::Sender<Option<Result<T, Failure>>>);

impl<T: Clone> Milestone<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Says how it ended. The first word counts.
    pub(crate) fn set(&self, result: Result<T, Failure>) {
        self.0.send_if_modified(|slot| {
            let is_first = slot.is_none();
            if is_first {
                *slot = Some(result);
            }
            is_first
        });
    }

    /// Waits until it is reached or has failed. Cheap to drop and call again.
    pub(crate) async fn reached(&self) -> Result<T, Failure> {
        let mut changes = self.0.subscribe();
        let result = changes.wait_for(Option::is_some).await;
        match result.map(|slot| slot.clone()) {
            Ok(Some(result)) => result,
            // The sender is in `self`, and the value was just seen.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// What was reached, if it was by now.
    pub(crate) fn get(&self) -> Option<T> {
        match &*self.0.borrow() {
            Some(Ok(value)) => Some(value.clone()),
            Some(Err(_)) | None => None,
        }
    }

    /// Waits until it has failed.
    pub(crate) async fn failed(&self) -> Failure {
        match self.reached().await {
            Ok(_) => std::future::pending().await,
            Err(failure) => failure,
        }
    }
}
