//! Runs the asynchronous part of a command.

use tokio::runtime::Runtime;

use super::Exit;
use super::error::CliError;
use crate::event::{RunVerdict, Termination};
use crate::runner;
use crate::suite::Interruption;

/// Runs `work` on a new runtime. Returns its result.
pub(super) fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    CliError: From<E>,
{
    let runtime = Runtime::new().map_err(CliError::io("start the async runtime"))?;
    let result = runtime.block_on(work);
    // This doesn't wait for threads, because one may be waiting for another process's lock.
    runtime.shutdown_background();
    Ok(result?)
}

/// Like [`block_on`], for work that signals to this process interrupt. If the work hangs after the second signal, or a
/// third signal arrives, calls `abandoned` and exits.
pub(super) fn block_on_until_signal<T, E>(
    interruption: &Interruption,
    abandoned: impl Fn() + Send + Sync + 'static,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CliError>
where
    CliError: From<E>,
{
    let abandon = move |by: Termination| {
        abandoned();
        std::process::exit(Exit::from(RunVerdict::Interrupted { by }).code().into());
    };
    block_on::<T, CliError>(async {
        runner::handle_signals(interruption, abandon)
            .map_err(CliError::io("install signal handlers"))?;
        Ok::<T, CliError>(Box::pin(work).await?)
    })
}
