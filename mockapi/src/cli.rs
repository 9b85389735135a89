//! The mock as a program: its options, its output, and its shutdown on a signal.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{Interface, Options, Server, StartError, start, wipe};

/// The mock's options.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Address of the Central API and the test interface (host:port or :port; port 0 takes any free
    /// one)
    #[arg(long, default_value = ":8080")]
    addr: String,
    /// Address of the local endpoint, on TLS
    #[arg(long, default_value = ":8443")]
    tls_addr: String,
    /// Namespace of the mock's Service, for the names in the certificate
    #[arg(long, default_value = "plexd-e2e")]
    namespace: String,
    /// How much of the test interface is served, to emulate mocks with fewer endpoints
    #[arg(long, value_enum, default_value_t)]
    test_interface: Interface,
}

/// Other tasks that the image can perform.
#[derive(Clone, Debug, clap::Subcommand)]
enum Task {
    /// Deletes a folder with everything in it, and then prints `wiped`
    #[command(hide = true)]
    Wipe {
        /// The folder
        folder: PathBuf,
    },
}

/// Why the program failed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("failed to wait for signals")]
    Signals(#[source] io::Error),
    #[error("failed to start the mock")]
    Start(#[from] StartError),
    #[error("failed to print the addresses")]
    Print(#[source] io::Error),
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Self {
        Self {
            addr: arguments.addr,
            tls_addr: arguments.tls_addr,
            namespace: arguments.namespace,
            interface: arguments.test_interface,
        }
    }
}

/// The lifecycle of the process: its log on stderr (filtered by `RUST_LOG`), its runtime, and [`run`].
pub fn main(arguments: Arguments) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    if let Some(Task::Wipe { folder }) = &arguments.task {
        return wipe::run(folder);
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => {
            tracing::error!("failed to start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM or SIGINT. Prints one line per listener when both are up. A failure is logged, and the exit
/// code is 1.
pub async fn run(arguments: Arguments) -> ExitCode {
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), RunError> {
    // Signals are handled before the mock listens, so that a mock that serves always shuts down gracefully.
    let terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let server = start(arguments.into()).await?;
    announce(&server).map_err(RunError::Print)?;
    first_of(terminate, interrupt).await;
    server.shutdown().await;
    Ok(())
}

/// Prints the addresses, one per line.
fn announce(server: &Server) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "MOCKAPI_ADDR={}", server.addr())?;
    writeln!(stdout, "MOCKAPI_TLS_ADDR={}", server.tls_addr())?;
    stdout.flush()
}

async fn first_of(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// An error with its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
