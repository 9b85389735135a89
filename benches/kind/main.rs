//! Compares cells on kind with bare clusters and with the shell script that e2e-matrix replaces: `make bench-kind`.
//!
//! Measurements are paired: each round measures all columns of a case one after another, within the same minutes on the
//! same machine, and ratios are taken within a round. After each round, all samples are written to one results file.
//! `--chart` writes the generated part of docs/performance.md from it.
//!
//! CPU seconds are those of the whole machine, because a cell's work is spread over the runner, kind, the container
//! engine and the nodes. The machine must be otherwise idle; each sample states how busy it was just before the
//! measurement.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod case;
mod chart;
mod column;
mod meter;
mod page;
mod results;
mod target;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use case::Case;
use column::{Bench, Column};
use meter::{Machine, Versions};
use results::{CaseResults, Results};

/// An error stops the benchmark; a measurement that fails doesn't.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The options of `make bench-kind ARGS='…'`.
#[derive(Parser)]
#[command(name = "make bench-kind ARGS='…'", no_binary_name = false)]
struct Options {
    /// The cases, as `<cells>x<nodes>-<fast|default>`, or `matrix` for the shipped matrix
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1x1-fast,1x3-fast,4x1-fast,1x1-default,2x1-default,4x1-default,8x1-default"
    )]
    cases: Vec<Case>,
    /// The columns [default: all columns of the case]
    #[arg(long, value_delimiter = ',')]
    columns: Vec<Column>,
    /// How many times each column is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The Kubernetes version
    #[arg(long, default_value = "1.34")]
    kubernetes: String,
    /// For the case `matrix`: the binary to compare with [default: this one, with `--prepared never`]
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// The results file; cases in it that aren't measured again are kept
    #[arg(long, default_value = "target/bench/kind.json")]
    results: PathBuf,
    /// Measure nothing: write the chart and the tables of docs/performance.md from the results file
    #[arg(long)]
    chart: bool,
    /// Passed by Cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {}", e2e_matrix::error::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if options.chart {
        return page::write(&Results::read(&options.results)?);
    }
    let bench = Bench::new(&options.kubernetes, options.baseline.clone())?;
    let versions = Versions::of(&bench)?;
    let mut results = Results::open(&options.results, Machine::of_this()?, versions)?;
    for case in &options.cases {
        let columns: Vec<Column> = case.columns().collect();
        let is_wanted =
            |column: &Column| options.columns.is_empty() || options.columns.contains(column);
        let columns: Vec<Column> = columns.into_iter().filter(is_wanted).collect();
        if columns.is_empty() {
            println!("{case}: none of these columns apply");
            continue;
        }
        measure(&bench, *case, &columns, options.rounds, &mut results)?;
    }
    print!("{}", target::text(&results.targets));
    println!("results: {}", options.results.display());
    Ok(())
}

fn measure(
    bench: &Bench,
    case: Case,
    columns: &[Column],
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    println!("{case}: preparing");
    bench.prepare(case, columns)?;
    let mut measured = CaseResults::new(case);
    for round in 0..rounds {
        let mut samples = Vec::new();
        for column in case.order(columns, round) {
            let sample = bench.sample(case, column, round)?;
            println!("  {case}, round {}, {column}: {sample}", round + 1);
            samples.push((column, sample));
        }
        measured.add(samples.into_iter().collect());
        results.replace(measured.clone());
        results.write()?;
    }
    print!("{measured}");
    Ok(())
}
