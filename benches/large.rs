//! Measures a local cell of many nodes, or the reports of a long record: `make bench-large`.
//!
//! CPU seconds are those of the started processes and their children. They are more meaningful than seconds if the
//! machine has other work to do.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use e2e_matrix::record;
use nix::sys::resource::{UsageWho, getrusage};
use procfs::{Current, Meminfo};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNNER: &str = env!("CARGO_BIN_EXE_e2e-matrix");

/// Where everything is written.
const FOLDER: &str = "target/bench/large";

/// The time between two samples of the machine's memory.
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Parser)]
#[command(name = "make bench-large ARGS='…'")]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Passed by Cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Runs one local cell
    Cell {
        /// How many nodes it has
        #[arg(long, default_value_t = 1000)]
        nodes: u16,
    },
    /// Writes the reports of a record
    Record {
        /// How large the record is, in MiB
        #[arg(long, default_value_t = 1024)]
        mib: u64,
    },
}

fn main() -> Result<()> {
    let folder = std::path::absolute(FOLDER)?;
    fs::create_dir_all(&folder)?;
    match Options::parse().what {
        What::Cell { nodes } => cell(&folder, nodes),
        What::Record { mib } => reports(&folder, mib << 20),
    }
}

/// Deadlines that even a slow machine meets: the benchmark only measures, and has no limits.
const PATIENT: &str = "[phases]\n\
    readiness = { timeout = \"20m\", mock-timeout = \"10m\" }\n\
    assertions = { timeout = \"20m\" }\n\
    request-bodies = { timeout = \"20m\" }\n\
    periodic = { timeout = \"20m\" }\n\
    restart = { timeout = \"20m\" }\n\
    local-endpoint = { timeout = \"20m\" }\n\
    cleanup = { timeout = \"20m\" }\n";

fn cell(folder: &Path, nodes: u16) -> Result<()> {
    let matrix = folder.join("cell.toml");
    let axes = format!("[matrix]\nkubernetes = [\"1.36\"]\nnodes = [{nodes}]\n");
    fs::write(&matrix, format!("{axes}[run]\nports = \"any\"\n{PATIENT}"))?;
    let mut run = Command::new(RUNNER);
    run.args(["--provider", "local", "--matrix"])
        .arg(&matrix)
        .arg("--output-dir")
        .arg(folder.join("cell"));
    let (status, used) = measured(&mut run)?;
    println!("one local cell of {nodes} nodes: {status}, {used}");
    Ok(())
}

/// Six real cells, some of which fail. Their events are repeated under other names until the record is long enough.
const MIXED: &str = r#"
[matrix]
kubernetes = ["1.36"]
nodes = [1, 3]
config = ["fast", "silent", "crash"]
[run]
ports = "any"
[config.fast]
[config.silent]
env = { PLEXD_FAULT = "no-audit@0" }
[config.crash]
env = { PLEXD_FAULT = "crash" }
"#;

fn reports(folder: &Path, bytes: u64) -> Result<()> {
    let long = folder.join(format!("record-{}", bytes >> 20));
    let path = long.join(record::FILE_NAME);
    if fs::metadata(&path).map_or(0, |file| file.len()) < bytes {
        fs::create_dir_all(&long)?;
        let cells = repeat(&mixed(folder)?, &path, bytes)?;
        println!("wrote a record of {} MiB with {cells} cells", bytes >> 20);
    }
    let mut report = Command::new(RUNNER);
    report.arg("report").arg(&long);
    let (status, used) = measured(&mut report)?;
    println!(
        "reports of a record of {} MiB: {status}, {used}",
        bytes >> 20
    );
    Ok(())
}

/// The record of a run of [`MIXED`].
fn mixed(folder: &Path) -> Result<PathBuf> {
    let matrix = folder.join("mixed.toml");
    fs::write(&matrix, MIXED)?;
    let out = folder.join("mixed");
    let mut run = Command::new(RUNNER);
    run.args(["--provider", "local", "--retries", "0", "--matrix"])
        .arg(&matrix)
        .arg("--output-dir")
        .arg(&out);
    run.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(out.join("latest").join(record::FILE_NAME))
}

/// Writes a record of at least `bytes` bytes that repeats the cells of the record `from`. Returns the number of cells.
fn repeat(from: &Path, to: &Path, bytes: u64) -> Result<usize> {
    let text = fs::read_to_string(from)?;
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let events: Vec<Value> = lines.collect::<std::result::Result<_, _>>()?;
    let (of_cells, of_run): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|line| line["event"]["cell"].is_string());
    let [start, .., end] = &of_run[..] else {
        return Err("the run of the mixed cells has no record".into());
    };
    let once = of_cells
        .iter()
        .map(|line| line.to_string().len() as u64 + 1);
    let copies = bytes / once.sum::<u64>() + 1;
    let named =
        |id: &Value, copy: u64| Value::from(format!("{}-{copy}", id.as_str().unwrap_or_default()));
    let mut start = start.clone();
    let cells = start["event"]["facts"]["cells"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let summaries = (0..copies).flat_map(|copy| {
        cells.iter().map(move |cell| {
            let mut cell = cell.clone();
            cell["id"] = named(&cell["id"], copy);
            cell["config"] = named(&cell["config"], copy);
            cell
        })
    });
    start["event"]["facts"]["cells"] = summaries.collect();
    let mut out = BufWriter::new(File::create(to)?);
    writeln!(out, "{start}")?;
    for copy in 0..copies {
        for line in &of_cells {
            let mut line = line.clone();
            line["event"]["cell"] = named(&line["event"]["cell"], copy);
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "{end}")?;
    out.flush()?;
    Ok(cells.len() * usize::try_from(copies)?)
}

/// The resources that a program used.
struct Used {
    seconds: f64,
    cpu_seconds: f64,
    /// The peak memory of the largest process, in MiB.
    process_mib: u64,
    /// The largest decrease in the machine's available memory, in MiB.
    machine_mib: u64,
}

impl std::fmt::Display for Used {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:.1} s, {:.1} CPU seconds, at most {} MiB in one process and {} MiB on the machine",
            self.seconds, self.cpu_seconds, self.process_mib, self.machine_mib
        )
    }
}

/// Runs `command` and measures what it uses.
fn measured(command: &mut Command) -> Result<(ExitStatus, Used)> {
    let before = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let available = || -> Result<u64> {
        let memory = Meminfo::current()?;
        Ok(memory.mem_available.unwrap_or(memory.mem_free))
    };
    let at_start = available()?;
    let has_ended = AtomicBool::new(false);
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let (status, least) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut least = at_start;
            while !has_ended.load(Ordering::Relaxed) {
                least = least.min(available().unwrap_or(least));
                std::thread::sleep(INTERVAL);
            }
            least
        });
        let status = command.status();
        has_ended.store(true, Ordering::Relaxed);
        (status, watching.join().unwrap_or(at_start))
    });
    let seconds = start.elapsed().as_secs_f64();
    let after = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |usage: &nix::sys::resource::Usage| {
        let parts = [usage.user_time(), usage.system_time()];
        let parts = parts.map(|part| {
            Duration::from_micros(
                part.tv_sec().unsigned_abs() * 1_000_000 + part.tv_usec().unsigned_abs(),
            )
        });
        parts.iter().sum::<Duration>().as_secs_f64()
    };
    let used = Used {
        seconds,
        cpu_seconds: time(&after) - time(&before),
        process_mib: after.max_rss().unsigned_abs() >> 10,
        machine_mib: at_start.saturating_sub(least) >> 20,
    };
    Ok((status?, used))
}
