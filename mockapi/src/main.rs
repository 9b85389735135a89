//! The mock Central API as a program of its own.

use std::io::stderr;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// The mock Central API that plexd is tested against
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    arguments: mockapi::cli::Arguments,
}

#[tokio::main]
async fn main() -> ExitCode {
    let program = Program::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .init();
    mockapi::cli::run(program.arguments).await
}
