//! The `plexd` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser;
use plexd_agent::cli::{self, Arguments};

/// The plexd reference agent.
#[derive(Parser)]
#[command(name = "plexd", version)]
struct Plexd {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    cli::main(Plexd::parse().arguments)
}
