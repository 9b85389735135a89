//! Results of background work that several phases wait for: set once, and available to every waiter, including late
//! ones.

use tokio::sync::SetOnce;

use crate::event::Failure;

/// A state that background work reaches or fails to reach.
#[derive(Debug)]
pub(crate) struct Milestone<T>(SetOnce<Result<T, Failure>>);

impl<T: Clone> Milestone<T> {
    pub(crate) fn new() -> Self {
        Self(SetOnce::new())
    }

    /// A milestone that has already been reached.
    pub(crate) fn reached_already(value: T) -> Self {
        Self(SetOnce::new_with(Some(Ok(value))))
    }

    /// Sets the result. Only the first call counts.
    pub(crate) fn set(&self, result: Result<T, Failure>) {
        drop(self.0.set(result));
    }

    /// Waits until the milestone is reached or has failed. Cancel safe.
    pub(crate) async fn reached(&self) -> Result<T, Failure> {
        self.0.wait().await.clone()
    }

    /// The value, if the milestone has been reached.
    pub(crate) fn get(&self) -> Option<T> {
        self.0.get()?.clone().ok()
    }

    /// Waits until the milestone has failed.
    pub(crate) async fn failed(&self) -> Failure {
        match self.reached().await {
            Ok(_) => std::future::pending().await,
            Err(failure) => failure,
        }
    }
}
