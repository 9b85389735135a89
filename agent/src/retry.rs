//! Retries an operation until it succeeds: quickly at first, and at least once a second, so that the agent soon notices
//! when an API or a DNS server comes up.
//!
//! A series of failures is logged twice: when it begins, with the reason, and when it ends. The agent's own log lines
//! are forwarded, so one line per attempt would fill the buffers.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Jitter at most doubles a delay, so no delay exceeds a second.
const MAX_DELAY: Duration = Duration::from_millis(500);
const MIN_DELAY: Duration = Duration::from_millis(100);

/// Retries an operation until it succeeds or fails with an error that `is_permanent`.
///
/// When `stop` is cancelled, the current delay ends immediately and one last attempt is made, whose error is returned.
/// An attempt in flight is never aborted, because its request may already have arrived.
pub(crate) async fn until_done<T, E: Error, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    stop: &CancellationToken,
    is_permanent: impl Fn(&E) -> bool,
    operation: impl FnMut() -> F,
) -> Result<T, E> {
    let mut failures = 0_u32;
    let stopped = stop.clone();
    let result = operation
        .retry(backoff())
        .sleep(move |delay| interruptible(stopped.clone(), delay))
        .when(|error| !stop.is_cancelled() && !is_permanent(error))
        .notify(|error, _| {
            failures += 1;
            log_failure(what, failures, error);
        })
        .await;
    if result.is_ok() && failures > 0 {
        info!(failures, "{what} succeeded after failures");
    }
    result
}

/// For operations that are retried after any error: no error is permanent.
pub(crate) fn never<E>(_: &E) -> bool {
    false
}

/// An error and all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(line, ": {error}").expect("writing to a string never fails");
        cause = error.source();
    }
    line
}

fn log_failure(what: &str, failures: u32, error: &dyn Error) {
    if failures == 1 {
        warn!(
            reason = chain(error),
            "{what} failed, retrying until it succeeds"
        );
    } else {
        debug!(failures, reason = chain(error), "{what} failed again");
    }
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(MIN_DELAY)
        .with_max_delay(MAX_DELAY)
        .with_factor(1.5)
        .without_max_times()
        .with_jitter()
}

async fn interruptible(stop: CancellationToken, delay: Duration) {
    stop.run_until_cancelled(tokio::time::sleep(delay)).await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use backon::BackoffBuilder;

    use super::*;

    fn failure() -> io::Error {
        io::Error::other("no")
    }

    #[test]
    fn the_first_delay_is_short_and_none_is_longer_than_a_second() {
        let delays: Vec<_> = backoff().build().take(1000).collect();
        assert!(delays[0] <= 2 * MIN_DELAY);
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_retries_until_it_succeeds() {
        let attempts = Cell::new(0);
        let operation = async || {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 20 {
                Err(failure())
            } else {
                Ok(())
            }
        };
        until_done("test", &CancellationToken::new(), never, operation)
            .await
            .unwrap();
        assert_eq!(attempts.get(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_ends_the_retries() {
        let attempts = Cell::new(0);
        let operation = async || {
            attempts.set(attempts.get() + 1);
            Err::<(), _>(failure())
        };
        let result = until_done("test", &CancellationToken::new(), |_| true, operation).await;
        assert!(result.is_err());
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_interrupts_the_delay_for_one_last_attempt() {
        let stop = CancellationToken::new();
        let attempts = Cell::new(0);
        let operation = async || {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 3 {
                stop.cancel();
            }
            Err::<(), _>(failure())
        };
        assert!(until_done("test", &stop, never, operation).await.is_err());
        assert_eq!(attempts.get(), 3);
    }

    #[test]
    fn an_error_and_its_causes_fit_on_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        assert_eq!(chain(&Outer(failure())), "outer: no");
    }
}
