//! The mock Central API as a separate program; everything is in the library.

use std::process::ExitCode;

use clap::Parser;

/// The mock Central API that plexd is tested against
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    arguments: mockapi::cli::Arguments,
}

fn main() -> ExitCode {
    mockapi::cli::main(Program::parse().arguments)
}
