//! Measurements of time and CPU time, and the environment in which they were made.

use std::fmt::{self, Display, Formatter};
use std::process::Command;
use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI, KernelStats, Meminfo};
use serde::{Deserialize, Serialize};

use super::Result;
use super::column::Bench;

/// How long the machine is observed before each measurement. This also gives processes of the previous measurement time
/// to exit.
const BEFORE: Duration = Duration::from_secs(2);

/// One measurement of one column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds from the start of the first process to the exit of the last one.
    pub(crate) seconds: f64,
    /// CPU seconds of the whole machine in that time.
    pub(crate) cpu_seconds: f64,
    /// How many processors were busy with unrelated work just before the measurement.
    pub(crate) busy_before: f64,
    /// Why the sample doesn't count, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl Sample {
    /// Measures `work`, which returns why it failed, or `None`.
    pub(crate) fn of(work: impl FnOnce() -> Result<Option<String>>) -> Result<Self> {
        let (idle, start) = (busy_seconds()?, Instant::now());
        std::thread::sleep(BEFORE);
        let (busy, waited) = (busy_seconds()?, start.elapsed());
        let start = Instant::now();
        let failed = work()?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Self {
            seconds,
            cpu_seconds: busy_seconds()? - busy,
            busy_before: (busy - idle) / waited.as_secs_f64(),
            failed,
        })
    }
}

impl Display for Sample {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (seconds, cpu_seconds) = (self.seconds, self.cpu_seconds);
        write!(formatter, "{seconds:.1} s, {cpu_seconds:.1} CPU seconds")?;
        if self.busy_before > 0.2 {
            let busy = self.busy_before;
            write!(
                formatter,
                ", but {busy:.1} processors were busy before the measurement"
            )?;
        }
        match &self.failed {
            Some(why) => write!(formatter, ", not counted: {why}"),
            None => Ok(()),
        }
    }
}

/// The CPU seconds that the machine has spent since it started. The kernel counts them outside of any cgroup, so they
/// are the same with both versions of cgroups.
fn busy_seconds() -> Result<f64> {
    let total = KernelStats::current()?.total;
    let parts = [
        total.user_duration(),
        total.nice_duration(),
        total.system_duration(),
        total.irq_duration().unwrap_or_default(),
        total.softirq_duration().unwrap_or_default(),
    ];
    Ok(parts.iter().sum::<Duration>().as_secs_f64())
}

/// The machine of the measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The number of processors.
    pub(crate) cores: usize,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's name and release.
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn of_this() -> Result<Self> {
        let kernel = rustix::system::uname();
        let (name, release) = (kernel.sysname(), kernel.release());
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: Meminfo::current()?.mem_total >> 20,
            kernel: format!("{} {}", name.to_string_lossy(), release.to_string_lossy()),
        })
    }
}

/// The versions of the measured programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// The runner, with its commit.
    pub(crate) runner: String,
    /// The runner that the case `matrix` was compared with, if it was a different one.
    pub(crate) baseline: Option<String>,
    /// The version of kind.
    pub(crate) kind: String,
    /// The node image.
    pub(crate) node_image: String,
    /// The container engine.
    pub(crate) engine: String,
    /// The version of kubectl, which only the script uses.
    pub(crate) kubectl: Option<String>,
}

impl Versions {
    /// The versions that `bench` measures.
    pub(crate) fn of(bench: &Bench) -> Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        let commit = output("git", &["describe", "--always", "--dirty"]);
        let runner = match commit {
            Ok(commit) => format!("{version} ({commit})"),
            Err(_) => version.to_owned(),
        };
        let baseline = bench.baseline.as_ref();
        let baseline = baseline.map(|path| path.display().to_string());
        let engine = output("docker", &["version", "--format", "{{.Server.Version}}"])?;
        let kubectl = output("kubectl", &["version", "--client"]).ok();
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        Ok(Self {
            runner,
            baseline,
            kind: output("kind", &["version"])?,
            node_image: bench.node_image.clone(),
            engine: format!("Docker {engine}"),
            kubectl: kubectl.map(first_line),
        })
    }
}

/// Runs a program, and returns its stdout.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("failed to start `{program}`: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{program} {}` failed: {stderr}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
