//! The command line, and the lifecycle of a process from its first log line to its exit code.
//!
//! Arguments, exit codes and user errors are handled here. Each user error is printed in one line.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::agent::{Agent, Setup};
use crate::config::{self, Config, ConfigError, Loaded};
use crate::environment::{Environment, EnvironmentError};
use crate::fault::Fault;
use crate::health::{self, Readiness};
use crate::identity;
use crate::logging;
use crate::registrar::Credentials;
use crate::retry::chain;
use crate::shutdown::Signals;
use crate::stream::Captured;
use crate::tls::ClientError;

/// How long the fault `slow-start` waits.
const SLOW_START: Duration = Duration::from_secs(5);
/// The exit code if the agent can't run on this machine.
const EXIT_FAILURE: u8 = 1;
/// The exit code if the configuration or the environment can't be used.
const EXIT_USAGE: u8 = 2;

/// The arguments of `plexd`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Registers this node and runs until SIGTERM
    Up {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = "/etc/plexd/config.yaml")]
        config: PathBuf,
    },
}

/// Why the process fails.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("the data directory {path} cannot be used")]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error("the health endpoints cannot listen on {address}")]
    Listen { address: String, source: io::Error },
    #[error("the health endpoints stopped")]
    Health(#[source] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot set up the process")]
    Process(#[source] io::Error),
    #[error("exiting because of the fault {0}")]
    Fault(Fault),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Environment(_) => EXIT_USAGE,
            Self::DataDirectory { .. }
            | Self::Listen { .. }
            | Self::Health(_)
            | Self::Client(_)
            | Self::Process(_)
            | Self::Fault(_) => EXIT_FAILURE,
        }
    }
}

/// Runs a whole process with one thread, because many agents may share a machine.
pub fn main(arguments: Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Process(error)),
    };
    let code = runtime.block_on(run(arguments));
    // A checksum that is still being computed must not block the exit.
    runtime.shutdown_background();
    code
}

/// Runs on the caller's runtime until SIGTERM or SIGINT, which are caught from the start.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Command::Up { config } = arguments.command;
    match up(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

async fn up(path: &Path) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(Failure::Process)?;
    let prepared = tokio::select! {
        prepared = prepare(path) => prepared?,
        () = signals.received() => return Ok(()),
    };
    let readiness = Readiness::default();
    let never_ready = prepared.setup.faults.has(Fault::NeverReady);
    let agent = Agent::start(prepared.setup)?;
    if !never_ready {
        readiness.set();
    }
    tokio::select! {
        () = agent.finish(signals.received()) => Ok(()),
        result = health::serve(prepared.listener, readiness) => result.map_err(Failure::Health),
    }
}

/// Everything that is checked or opened before the agent runs.
struct Prepared {
    setup: Setup,
    listener: TcpListener,
}

async fn prepare(path: &Path) -> Result<Prepared, Failure> {
    let environment = Environment::read()?;
    if environment.faults.has(Fault::SlowStart) {
        tokio::time::sleep(SLOW_START).await;
    }
    let Loaded { config, unknown } = config::load(path)?;
    let token = environment.token(&config.registration)?;
    let captured = Captured::default();
    logging::install(captured.clone(), &environment.node_name);
    log_start(&environment, &unknown);
    prepare_directories(&config)?;
    if environment.faults.has(Fault::Crash) {
        return Err(Failure::Fault(Fault::Crash));
    }
    let listener = listen(&environment.health_address).await?;
    let credentials = Credentials {
        token,
        hostname: environment.node_name,
    };
    let setup = Setup {
        config,
        credentials,
        faults: environment.faults,
        captured,
    };
    Ok(Prepared { setup, listener })
}

fn log_start(environment: &Environment, unknown: &[String]) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        node = environment.node_name,
        "plexd is starting"
    );
    for key in unknown {
        warn!(key, "ignoring an unknown key in the configuration");
    }
    for fault in environment.faults.iter() {
        warn!(%fault, "running with a fault");
    }
}

fn prepare_directories(config: &Config) -> Result<(), Failure> {
    let directories = [&config.registration.data_dir].into_iter();
    for path in directories.chain(&config.node_api.data_dir) {
        identity::prepare_directory(path).map_err(|source| Failure::DataDirectory {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Binds the health endpoints, and announces the address to a parent process.
async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let failed = |source| Failure::Listen {
        address: address.to_owned(),
        source,
    };
    let listener = health::listen(address).await.map_err(failed)?;
    let line = health::announcement(listener.local_addr().map_err(failed)?);
    let mut stdout = io::stdout().lock();
    // Fails if the parent has closed its end of the pipe.
    drop(
        stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush()),
    );
    Ok(listener)
}

/// Prints the error in one line on stderr. If stderr is closed, only the exit code remains.
fn fail(failure: &Failure) -> ExitCode {
    drop(writeln!(
        io::stderr(),
        "plexd: {}",
        chain(failure as &dyn Error)
    ));
    ExitCode::from(failure.exit_code())
}
