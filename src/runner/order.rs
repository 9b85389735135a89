//! The order in which cells start: the longest first, so that no long cell runs alone at the end. All functions are
//! pure.

use std::cmp::Reverse;
use std::time::Duration;

/// What is known about a cell before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its round: all cells of a round start before those of the next one.
    pub(super) round: u32,
    /// How long it took on this machine before.
    pub(super) time: Option<Duration>,
    /// How much of the machine's budget it takes.
    pub(super) weight: usize,
}

/// The indexes of `cells` in the order in which they start. An unknown duration is estimated from known ones by weight;
/// equal cells keep their order.
pub(super) fn longest_first(cells: &[Expected]) -> Vec<usize> {
    let known = cells
        .iter()
        .filter_map(|cell| Some((cell.time?.as_millis(), cell.weight as u128)));
    let (times, weights) = known.fold((0, 0), |(times, weights), (time, weight)| {
        (times + time, weights + weight)
    });
    let estimate = |cell: &Expected| match (cell.time, weights) {
        (Some(time), _) => time.as_millis(),
        (None, 0) => cell.weight as u128,
        (None, weights) => times * cell.weight as u128 / weights,
    };
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|index| {
        let cell = &cells[*index];
        (cell.round, Reverse(estimate(cell)))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(seconds: impl Into<Option<u64>>, weight: usize) -> Expected {
        Expected {
            round: 1,
            time: seconds.into().map(Duration::from_secs),
            weight,
        }
    }

    #[test]
    fn without_history_the_heaviest_cells_start_first_and_equal_ones_keep_their_order() {
        let cells = [cell(None, 4), cell(None, 8), cell(None, 4), cell(None, 8)];
        assert_eq!(longest_first(&cells), [1, 3, 0, 2]);
    }

    #[test]
    fn the_slowest_cells_start_first_and_unknown_durations_are_estimated() {
        let cells = [
            cell(10, 4),
            cell(60, 4),
            // The known cells take 70 seconds and have a weight of 8 together, so the estimates are 70 seconds for a
            // weight of 8 and 35 seconds for a weight of 4.
            cell(None, 8),
            cell(None, 4),
        ];
        assert_eq!(longest_first(&cells), [2, 1, 3, 0]);
    }

    #[test]
    fn a_round_starts_before_the_next_one() {
        let of_round = |round, cell: Expected| Expected { round, ..cell };
        let cells = [
            of_round(3, cell(90, 4)),
            of_round(2, cell(10, 4)),
            of_round(2, cell(60, 4)),
        ];
        assert_eq!(longest_first(&cells), [2, 1, 0]);
    }
}
