//! Runs the asynchronous part of a command.

use tokio::runtime::Runtime;

use super::Exit;
use super::error::CliError;
use crate::event::{RunVerdict, Termination};
use crate::runner;
use crate::suite::Interruption;

/// The result of `work`, on its own runtime.
pub(super) fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    CliError: From<E>,
{
    let runtime = Runtime::new().map_err(CliError::io("start the async runtime"))?;
    let result = runtime.block_on(work);
    // A lock that another process holds must not block the exit.
    runtime.shutdown_background();
    Ok(result?)
}

/// The same for work that the signals of this process interrupt. If it hangs after the second signal, `abandoned` is
/// called, and the process ends.
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
