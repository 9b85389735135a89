//! The current load of the machine, as the kernel reports it.

use procfs::{CpuPressure, Current, LoadAverage};

use super::probe;

/// One measurement of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The load average over one minute, in hundredths.
    pub average_hundredths: u64,
    /// Processes that are running or runnable at this moment. This value changes immediately, while the average lags
    /// behind.
    pub runnable: u64,
    /// CPU pressure: the share of the last ten seconds in which at least one process waited for a processor, in
    /// percent; `None` if the kernel doesn't report it.
    pub cpu_pressure_percent: Option<u64>,
    /// Memory available to new programs, in bytes.
    pub memory_available: u64,
}

/// Measures the machine; `None` if the kernel doesn't report the values.
pub fn measure() -> Option<Load> {
    let average = LoadAverage::current().ok()?;
    let pressure = CpuPressure::current().ok();
    Some(Load {
        average_hundredths: hundredths(average.one),
        // This process is one of the runnable processes.
        runnable: u64::from(average.cur).saturating_sub(1),
        cpu_pressure_percent: pressure.map(|pressure| hundredths(pressure.some.avg10) / 100),
        memory_available: probe::memory()?.available,
    })
}

/// `value` in hundredths, such as 25 for 0.25: the kernel prints two decimals.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and far below the limit"
)]
fn hundredths(value: f32) -> u64 {
    (value * 100.0).round() as u64
}
