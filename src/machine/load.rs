//! The current load of the machine, as the kernel reports it.

use std::fs;

use super::probe;

/// One measurement of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The load average over one minute, in hundredths.
    pub average_hundredths: u64,
    /// Processes that are running or runnable at this moment. This value changes at once, while the average lags
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
    let average = fs::read_to_string("/proc/loadavg").ok()?;
    let mut words = average.split_whitespace();
    let pressure = fs::read_to_string("/proc/pressure/cpu").ok();
    Some(Load {
        average_hundredths: hundredths(words.next()?)?,
        // The word after the other averages, `3/182`; one of the runnable processes is this one.
        runnable: words
            .nth(2)?
            .split('/')
            .next()?
            .parse::<u64>()
            .ok()?
            .saturating_sub(1),
        cpu_pressure_percent: pressure.and_then(|text| pressure_percent(&text)),
        memory_available: probe::memory()?.available,
    })
}

/// `0.25` as 25: the kernel prints two decimals.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = part.parse().ok()?;
    Some(whole * 100 + part)
}

/// `some avg10=12.34 …`, in whole percent.
fn pressure_percent(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let mut words = line.split_whitespace();
    let average = words.find_map(|word| word.strip_prefix("avg10="))?;
    hundredths(average).map(|hundredths| hundredths / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_formats_are_parsed() {
        assert_eq!(hundredths("12.05"), Some(1205));
        assert_eq!(hundredths("x"), None);
        let text = "some avg10=42.91 avg60=1.00 avg300=0.00 total=5\nfull avg10=7.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(pressure_percent(text), Some(42));
    }
}
