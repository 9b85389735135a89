//! Splits a selection among machines that don't communicate: each cell is in exactly one shard. Cells are balanced by
//! their durations, as far as these are known.
//!
//! All functions are pure, so that all machines get the same result. The result must not depend on anything that only
//! one machine has measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::{Cell, CellId};

/// The maximum number of shards of a selection.
pub const MAX_SHARDS: u32 = 10_000;

/// One of several shards, such as `2/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: NonZeroU32,
    count: NonZeroU32,
}

/// The text isn't a valid shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The text isn't in the form `<index>/<count>`.
    #[error("a shard is `<index>/<count>`, such as `2/5`")]
    Form,
    /// There are too many shards.
    #[error("a selection can be split into at most {MAX_SHARDS} shards")]
    TooMany,
    /// The index isn't between 1 and the number of shards.
    #[error("the shards are 1/{count} to {count}/{count}")]
    Range {
        /// The number of shards.
        count: NonZeroU32,
    },
}

impl Shard {
    /// The number of the shard, starting at 1.
    pub const fn index(self) -> u32 {
        self.index.get()
    }

    /// The number of shards.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// The cells of this shard, in order. The longest cells are assigned first, each to the shard with the shortest
    /// total.
    pub fn select(self, cells: Vec<Cell>, estimates: &Estimates) -> Vec<Cell> {
        let mut totals = vec![0_u64; self.count.get() as usize];
        let mut own = BTreeSet::new();
        for (id, estimate) in &estimates.0 {
            let least = totals.iter().enumerate().min_by_key(|(_, total)| **total);
            let shard = least.map_or(0, |(shard, _)| shard);
            totals[shard] = totals[shard].saturating_add(*estimate);
            if shard + 1 == self.index.get() as usize {
                own.insert(id.clone());
            }
        }
        let cells = cells.into_iter();
        cells.filter(|cell| own.contains(&cell.id)).collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError::Form)?;
        let count: NonZeroU32 = count.parse().map_err(|_| ShardError::Form)?;
        let index: u32 = index.parse().map_err(|_| ShardError::Form)?;
        if count.get() > MAX_SHARDS {
            return Err(ShardError::TooMany);
        }
        match NonZeroU32::new(index) {
            Some(index) if index <= count => Ok(Self { index, count }),
            Some(_) | None => Err(ShardError::Range { count }),
        }
    }
}

/// The durations of cells in milliseconds, by cell id: the content of `timings.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings(BTreeMap<String, u64>);

impl Timings {
    /// Parses a JSON object of numbers.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }
}

/// The estimated duration of each cell in a selection, sorted by duration, then by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimates(Vec<(CellId, u64)>);

impl Estimates {
    /// Uses the durations in `timings`. Any other cell is estimated by its number of nodes, relative to the cells with
    /// known durations.
    pub fn new(cells: &[Cell], timings: &Timings) -> Self {
        let known = |cell: &Cell| timings.0.get(cell.id.as_str()).copied();
        let measured: Vec<&Cell> = cells.iter().filter(|cell| known(cell).is_some()).collect();
        let times = measured.iter().filter_map(|cell| known(cell));
        let time: u128 = times.map(u128::from).sum();
        let weights: u128 = measured.iter().map(|cell| weight(cell)).sum();
        let unit = time.checked_div(weights).unwrap_or(1).max(1);
        let estimated = |cell: &Cell| u64::try_from(weight(cell) * unit).unwrap_or(u64::MAX);
        // Estimates are never zero. Otherwise, if there are fewer cells than shards, several cells could share a shard
        // while others are empty.
        let estimate = |cell: &Cell| known(cell).unwrap_or_else(|| estimated(cell)).max(1);
        let estimates = cells.iter().map(|cell| (cell.id.clone(), estimate(cell)));
        let mut estimates: Vec<_> = estimates.collect();
        estimates.sort_by(|(one_id, one), (other_id, other)| {
            other.cmp(one).then_with(|| one_id.cmp(other_id))
        });
        Self(estimates)
    }

    /// A hash of all estimates, which is the same for all shards of one selection.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (id, estimate) in &self.0 {
            hash.update(format!("{id} {estimate}\n"));
        }
        short_hash(hash)
    }
}

/// The relative duration of a cell: a worker takes about half as long as a control plane.
fn weight(cell: &Cell) -> u128 {
    cell.nodes.get() as u128 + 1
}

/// The first half of a hash in hexadecimal: enough to distinguish inputs that aren't chosen to collide.
pub fn short_hash(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::Matrix;

    fn cells(versions: &[u8], nodes: &[u16]) -> Vec<Cell> {
        let versions: Vec<_> = versions
            .iter()
            .map(|minor| format!("\"1.{minor}\""))
            .collect();
        let nodes: Vec<_> = nodes.iter().map(u16::to_string).collect();
        let text = format!(
            "[matrix]\nkubernetes = [{}]\nnodes = [{}]\nconfig = [\"default\", \"fast\"]\n[config.fast]\n",
            versions.join(", "),
            nodes.join(", "),
        );
        Matrix::parse("matrix.toml", &text).unwrap().cells
    }

    #[test]
    fn the_number_of_shards_is_limited() {
        let last = format!("{MAX_SHARDS}/{MAX_SHARDS}");
        assert_eq!(last.parse::<Shard>().unwrap().count(), MAX_SHARDS);
        let more = format!("1/{}", MAX_SHARDS + 1);
        assert_eq!(more.parse::<Shard>(), Err(ShardError::TooMany));
        assert_eq!("1/4294967295".parse::<Shard>(), Err(ShardError::TooMany));
    }

    fn shards(count: u32) -> impl Iterator<Item = Shard> {
        (1..=count).map(move |index| format!("{index}/{count}").parse().unwrap())
    }

    #[test]
    fn an_invalid_shard_is_rejected_with_an_example() {
        assert_eq!("2/5".parse::<Shard>().unwrap().to_string(), "2/5");
        for text in ["", "2", "2/0", "a/5", "2/", "-1/5", "2/5/1", "1.5/2"] {
            assert_eq!(text.parse::<Shard>(), Err(ShardError::Form), "{text}");
        }
        for text in ["0/5", "6/5"] {
            let error = text.parse::<Shard>().unwrap_err();
            assert_eq!(error.to_string(), "the shards are 1/5 to 5/5", "{text}");
        }
    }

    #[test]
    fn unknown_cells_are_estimated_from_known_ones() {
        let cells = cells(&[30], &[1, 3]);
        let timings = Timings::parse("{\"k8s-1.30-n1-fast\": 500, \"gone\": 7}").unwrap();
        let estimates = Estimates::new(&cells, &timings);
        let of = |id: &str| estimates.0.iter().find(|(cell, _)| cell.as_str() == id);
        assert_eq!(of("k8s-1.30-n1-default").unwrap().1, 500);
        assert_eq!(of("k8s-1.30-n3-default").unwrap().1, 1000);
        assert_ne!(
            estimates.digest(),
            Estimates::new(&cells, &Timings::default()).digest()
        );
    }

    proptest! {
        #[test]
        fn every_cell_is_in_one_shard_and_the_shards_are_balanced(
            versions in proptest::sample::subsequence((20_u8..40).collect::<Vec<_>>(), 1..8),
            nodes in proptest::sample::subsequence(vec![1_u16, 2, 3, 5, 9], 1..4),
            times in proptest::collection::vec(proptest::option::of(0_u64..900_000), 64),
            count in 1_u32..12,
        ) {
            let cells = cells(&versions, &nodes);
            let known = cells.iter().zip(times).filter_map(|(cell, time)| {
                Some((cell.id.to_string(), time?))
            });
            let timings = Timings(known.collect());
            let estimates = Estimates::new(&cells, &timings);
            let times: BTreeMap<_, _> = estimates.0.iter().cloned().collect();
            let mut seen = Vec::new();
            let mut loads = Vec::new();
            for shard in shards(count) {
                let own = shard.select(cells.clone(), &estimates);
                loads.push(own.iter().map(|cell| times[&cell.id]).sum::<u64>());
                seen.extend(own.into_iter().map(|cell| cell.id));
            }
            let mut all: Vec<_> = cells.iter().map(|cell| cell.id.clone()).collect();
            all.sort();
            seen.sort();
            prop_assert_eq!(&seen, &all);
            let empty = loads.iter().position(|load| *load == 0).unwrap_or(loads.len());
            prop_assert_eq!(empty, all.len().min(loads.len()));
            let longest = times.values().max().copied().unwrap_or(0);
            let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
            prop_assert!(most - least <= longest, "{loads:?} {longest}");
        }
    }
}
