//! The results file: all samples, and the statistics that are derived from them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Result;
use super::case::Case;
use super::column::Column;
use super::meter::{Machine, Sample, Versions};
use super::target::{self, Outcome};

/// The results file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    #[serde(skip)]
    path: PathBuf,
    /// The machine of all measurements.
    pub(crate) machine: Machine,
    /// The measured versions.
    pub(crate) versions: Versions,
    /// The results by case.
    pub(crate) cases: Vec<CaseResults>,
    /// The outcomes of the targets.
    pub(crate) targets: Vec<Outcome>,
}

/// The results of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CaseResults {
    /// The case.
    pub(crate) case: Case,
    /// When its first round started.
    pub(crate) measured_at: Timestamp,
    /// All samples, in order.
    pub(crate) rounds: Vec<Round>,
    /// The spread of each column across all rounds.
    pub(crate) columns: BTreeMap<Column, Measured<Spread>>,
    /// For each ratio of two columns, such as `prepared/bare`: its spread across all rounds. Both values of a ratio are
    /// from the same round.
    pub(crate) ratios: BTreeMap<String, Measured<Spread>>,
}

/// The samples of one round.
pub(crate) type Round = BTreeMap<Column, Sample>;

/// A value for each of the two measured quantities.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured<T> {
    /// For the elapsed time.
    pub(crate) seconds: T,
    /// For the CPU time of all processors.
    pub(crate) cpu_seconds: T,
}

/// The values of several rounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The number of values; rounds in which something failed don't count.
    pub(crate) rounds: usize,
    /// The middle value, or the mean of both middle values.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) least: f64,
    /// The largest.
    pub(crate) most: f64,
}

impl Spread {
    /// The spread of `values`; `None` if there are none.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rounds = values.len();
        let (least, most) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(rounds - 1) / 2], values[rounds / 2]);
        Some(Self {
            rounds,
            median,
            least,
            most,
        })
    }

    /// Each value divided by `divisor`.
    pub(crate) fn per(self, divisor: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a number of cells")]
        let divisor = divisor as f64;
        Self {
            rounds: self.rounds,
            median: self.median / divisor,
            least: self.least / divisor,
            most: self.most / divisor,
        }
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let places = formatter.precision().unwrap_or(1);
        let (median, least, most) = (self.median, self.least, self.most);
        if self.rounds == 1 {
            return write!(formatter, "{median:.places$}");
        }
        write!(
            formatter,
            "{median:.places$} ({least:.places$}–{most:.places$})"
        )
    }
}

/// The spread of `value` over all pairs of samples, for seconds and for CPU seconds. Pairs with a failed sample don't
/// count.
fn measured<'s>(
    pairs: impl Iterator<Item = (&'s Sample, &'s Sample)>,
    value: impl Fn(f64, f64) -> f64,
) -> Option<Measured<Spread>> {
    let pairs = pairs.filter(|(one, other)| one.failed.is_none() && other.failed.is_none());
    let pairs = pairs.map(|(one, other)| {
        let seconds = value(one.seconds, other.seconds);
        (seconds, value(one.cpu_seconds, other.cpu_seconds))
    });
    let (seconds, cpu_seconds) = pairs.unzip();
    Some(Measured {
        seconds: Spread::of(seconds)?,
        cpu_seconds: Spread::of(cpu_seconds)?,
    })
}

impl CaseResults {
    pub(crate) fn new(case: Case) -> Self {
        Self {
            case,
            measured_at: Timestamp::now(),
            rounds: Vec::new(),
            columns: BTreeMap::new(),
            ratios: BTreeMap::new(),
        }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
        let pairs = |one: Column, other: Column| {
            let rounds = self.rounds.iter();
            rounds.filter_map(move |round| Some((round.get(&one)?, round.get(&other)?)))
        };
        for one in self.case.columns() {
            if let Some(spread) = measured(pairs(one, one), |value, _| value) {
                self.columns.insert(one, spread);
            }
            for other in self.case.columns().filter(|other| *other != one) {
                if let Some(ratio) = measured(pairs(one, other), |one, other| one / other) {
                    self.ratios.insert(format!("{one}/{other}"), ratio);
                }
            }
        }
    }
}

impl Display for CaseResults {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let case = self.case;
        for (
            column,
            Measured {
                seconds,
                cpu_seconds,
            },
        ) in &self.columns
        {
            writeln!(
                formatter,
                "{case}, {column}: {seconds} s, {cpu_seconds} CPU seconds, rounds: {}",
                seconds.rounds
            )?;
        }
        Ok(())
    }
}

impl Results {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
        let failed = |error| format!("failed to read {}: {error}", path.display());
        let results = read().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            ..results
        })
    }

    /// Reads the file, or starts with empty results. Samples from different machines or versions aren't mixed.
    pub(crate) fn open(path: &Path, machine: Machine, versions: Versions) -> Result<Self> {
        if !path.exists() {
            return Ok(Self {
                path: path.to_owned(),
                machine,
                versions,
                cases: Vec::new(),
                targets: Vec::new(),
            });
        }
        let results = Self::read(path)?;
        if (&results.machine, &results.versions) != (&machine, &versions) {
            let path = path.display();
            return Err(format!(
                "{path} contains results from a different machine or different versions: delete it, or choose another file with `--results`"
            )
            .into());
        }
        Ok(results)
    }

    /// Replaces the results of the same case.
    pub(crate) fn replace(&mut self, results: CaseResults) {
        self.cases.retain(|case| case.case != results.case);
        self.cases.push(results);
        self.cases.sort_by_key(|case| case.case);
        self.targets = target::outcomes(&self.cases);
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)?;
        Ok(fs::write(&self.path, format!("{text}\n"))?)
    }
}
