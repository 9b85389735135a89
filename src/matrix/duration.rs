//! Durations in matrix files, options and environment variables, with their valid ranges.

use std::ops::RangeInclusive;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The range of phase timeouts and of the delay before a retry: greater than zero, at most 24 hours.
pub const TIMEOUTS: RangeInclusive<Duration> = Duration::from_nanos(1)..=HOUR.saturating_mul(24);
/// The range of timeouts for whole runs: greater than zero, at most 720 hours (30 days).
pub const RUN_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_nanos(1)..=HOUR.saturating_mul(24 * 30);
/// The range for the age of leftovers: zero to 87600 hours (10 years).
pub const AGES: RangeInclusive<Duration> = Duration::ZERO..=HOUR.saturating_mul(24 * 3650);

/// The text isn't a duration, or the duration is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DurationError {
    /// The text isn't a duration.
    #[error("not a duration such as `90s`: {0}")]
    Form(humantime::DurationError),
    /// The duration is out of range.
    #[error("must be {least} and at most {most_hours}h")]
    Range {
        /// The start of the range, in words.
        least: &'static str,
        /// The end of the range, in hours.
        most_hours: u64,
    },
}

/// Parses a duration such as `90s` or `2m 30s`.
///
/// # Errors
/// Fails if the text isn't a duration, or if the duration isn't in `range`.
pub fn parse_duration(
    text: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, DurationError> {
    let duration = humantime::parse_duration(text).map_err(DurationError::Form)?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let starts_at_zero = range.start().is_zero();
    Err(DurationError::Range {
        least: if starts_at_zero {
            "at least zero"
        } else {
            "greater than zero"
        },
        most_hours: range.end().as_secs() / HOUR.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUGE: &str = "18446744073709551615s 999ms";

    #[test]
    fn ranges_include_both_ends() {
        let day = Duration::from_secs(86_400);
        assert_eq!(parse_duration("1day", &TIMEOUTS), Ok(day));
        assert_eq!(
            parse_duration("1ns", &TIMEOUTS),
            Ok(Duration::from_nanos(1))
        );
        assert_eq!(parse_duration("0s", &AGES), Ok(Duration::ZERO));
        assert_eq!(parse_duration("30days", &RUN_TIMEOUTS), Ok(day * 30));
        for (text, range) in [
            ("0s", &TIMEOUTS),
            ("1day 1ns", &TIMEOUTS),
            ("30days 1ns", &RUN_TIMEOUTS),
            ("3650days 1ns", &AGES),
            (HUGE, &TIMEOUTS),
            (HUGE, &RUN_TIMEOUTS),
            (HUGE, &AGES),
        ] {
            let error = parse_duration(text, range).unwrap_err();
            assert!(
                matches!(error, DurationError::Range { .. }),
                "{text}: {error}"
            );
        }
    }
}
