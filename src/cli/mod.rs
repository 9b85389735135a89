//! The command line: the only top-level module that knows clap, exit codes and the process's own streams. One file per
//! command.

mod arguments;
mod error;
mod exit;
mod explain;
mod gc;
mod harness;
mod list;
mod log;
mod matrix_file;
mod merge;
mod options;
mod prepare;
mod recorded;
pub mod reference;
mod replay;
mod report;
mod rerun;
mod run;
mod runtime;
mod streams;
mod troubleshooting;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::machine::sandbox;
use error::CliError;
pub use exit::Exit;
pub use harness::harness;
use options::{
    ColorChoice, ExplainOptions, Format, GarbageOptions, ListOptions, MergeOptions, PrepareOptions,
    ReplayOptions, ReportOptions, RunOptions,
};

/// Run the plexd agent's end-to-end suite over a matrix of Kubernetes versions, node counts and configurations
///
/// Each cell of the matrix gets its own cluster, and the suite runs against it. A run prints summary tables and writes
/// JUnit XML. Its exit code shows whether the product, the configuration or the infrastructure failed. The default
/// command is `run`.
#[derive(Debug, Parser)]
#[command(name = "e2e-matrix", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunOptions,
    /// Log to stderr, with a filter such as `debug` or `e2e_matrix=debug,kube=info`
    #[arg(
        long,
        global = true,
        env = "E2E_MATRIX_LOG",
        value_name = "FILTER",
        help_heading = "Output",
        hide_short_help = true,
        value_parser = log::checked
    )]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the selected cells
    Run(Box<RunOptions>),
    /// List the selected cells without running them
    List(ListOptions),
    /// Print the settings and manifests of a cell, or the usual causes of a failure
    Explain(ExplainOptions),
    /// Prepare the kind clusters of the selected cells, so that runs start them faster
    Prepare(PrepareOptions),
    /// Delete resources that dead runs left behind
    Gc(GarbageOptions),
    /// Write the reports of a run again, from its record
    Report(ReportOptions),
    /// Show a run on the terminal again
    Replay(ReplayOptions),
    /// Combine runs into one: shards, cells as tests, or a run and its rerun
    Merge(MergeOptions),
    /// Print the JSON Schema of a format
    Schema {
        /// The format
        format: Format,
    },
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a folder
    Man {
        /// The folder, such as `~/.local/share/man/man1`; it is created if it doesn't exist
        folder: PathBuf,
    },
    /// The reference agent, as it runs in images and processes
    #[command(hide = true)]
    Agent(plexd_agent::cli::Arguments),
    /// The mock Central API, as it runs in images and processes
    #[command(hide = true)]
    Mockapi(mockapi::cli::Arguments),
    /// Run a program in a sandbox, which is described on standard input
    #[command(hide = true)]
    Pod {
        /// Run inside the namespaces of the sandbox
        #[arg(long)]
        inside: bool,
    },
}

/// Runs the command line of this process. Returns the exit code.
pub fn main() -> ExitCode {
    install_tls();
    let Cli { command, run, log } = arguments::parse();
    let color = run.output.color;
    let command = command.unwrap_or_else(|| Command::Run(Box::new(run)));
    // Agent and mock have their own logs.
    let has_own = matches!(
        command,
        Command::Agent(_) | Command::Mockapi(_) | Command::Pod { .. }
    );
    if !has_own {
        log::install_panics();
        log::install(log.as_deref(), matches!(command, Command::Run(_)));
        if let Err(error) = arguments::check_environment() {
            return error::print(&error, color).into();
        }
    }
    match command {
        Command::Run(run) => finish(run.output.color, run::run(&run)),
        Command::List(list) => finish(list.output.color, list::run(&list)),
        Command::Explain(cell) => finish(cell.output.color, explain::run(&cell)),
        Command::Prepare(prepare) => finish(prepare.output.color, prepare::run(&prepare)),
        Command::Gc(garbage) => finish(garbage.output.color, gc::run(&garbage)),
        Command::Report(report) => finish(report.output.color, report::run(&report)),
        Command::Replay(replay) => finish(replay.output.color, replay::run(&replay)),
        Command::Merge(merge) => finish(merge.output.color, merge::run(&merge)),
        Command::Schema { format } => finish(ColorChoice::Auto, reference::schema(format)),
        Command::Completions { shell } => finish(ColorChoice::Auto, reference::completions(shell)),
        Command::Man { folder } => finish(ColorChoice::Auto, reference::manual(&folder)),
        Command::Agent(arguments) => plexd_agent::cli::main(arguments),
        Command::Mockapi(arguments) => mockapi::cli::main(arguments),
        Command::Pod { inside: false } => sandbox::outside(&["pod", "--inside"]),
        Command::Pod { inside: true } => sandbox::inside(),
    }
}

/// The path of this program, which is the runner's own binary.
fn runner_path() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(CliError::io("determine the path of this program"))
}

/// Installs the process's TLS provider. Two providers are linked, so without this choice, rustls would panic at first
/// use.
fn install_tls() {
    let installed = rustls::crypto::ring::default_provider().install_default();
    if installed.is_err() {
        tracing::debug!("the process already has a TLS provider");
    }
}

/// Prints the error, if there is one. Returns the exit code.
fn finish(color: ColorChoice, result: Result<Exit, CliError>) -> ExitCode {
    let exit = result.unwrap_or_else(|error| error::print(&error, color));
    exit.into()
}
